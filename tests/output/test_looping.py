"""What a loop says of itself, on a terminal and nowhere else."""

import io

from safeconsole.output.progress import LoopProgress
from safeconsole.output.text import StreamStyle
from safeconsole.output.presenting import Screen


def looping_on(terminal):
    messages, clock = io.StringIO(), {"now": 100.0}
    style = StreamStyle(terminal=terminal, decorated=True, columns=100)
    return LoopProgress(messages, style, lambda: clock["now"]), messages, clock


def test_a_loop_says_how_many_and_how_quick_after_a_while(capsys):
    looping, messages, clock = looping_on(terminal=True)
    with looping.counted():
        for _ in range(1500):
            clock["now"] += 0.002
            looping.sent("replica-1")
        drawn = messages.getvalue()
        assert "1,127 statements, 500 a second, replica-1, Ctrl-C stops" in drawn
        assert 3 <= drawn.count("statements") <= 6
        print("printed")
        # What is printed takes the line's place.
        assert messages.getvalue().endswith("\r\x1b[2K")
    assert capsys.readouterr().out == "printed\n"
    assert messages.getvalue().endswith("\r\x1b[2K")


def test_a_few_statements_say_nothing():
    looping, messages, clock = looping_on(terminal=True)
    with looping.counted():
        for _ in range(2):
            clock["now"] += 9
            looping.sent("replica-1")
    assert messages.getvalue() == ""


def test_what_is_no_terminal_is_left_alone():
    looping, messages, clock = looping_on(terminal=False)
    with looping.counted():
        for _ in range(100):
            clock["now"] += 1
            looping.sent("replica-1")
    assert messages.getvalue() == ""
