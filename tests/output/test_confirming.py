import io
import os
import pty

import pytest
from msgspec.structs import replace

from safeconsole.policy.decision import ElevationRequest, Scope
from safeconsole.sqltext.vocabulary import Verdict
from safeconsole.output.confirming import GivenConfirmer, NoTerminal, TerminalConfirmer, terminal_confirmer

REQUEST = ElevationRequest(cluster="shop", scope=Scope.BREAK_GLASS, reason="INC-7 stuck \x1b[2J order", ticket="INC-7")


def asked(answer):
    shown = []

    def ask(question):
        shown.append(question + "\n")
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return TerminalConfirmer(ask, shown.append), shown


@pytest.mark.parametrize("answer", ["", "y", "YES", "yes please", "no", EOFError(), KeyboardInterrupt()])
def test_only_the_whole_word_confirms(answer, considered):
    confirmer, _ = asked(answer)
    assert confirmer.confirm(considered(Verdict.CONFIRM)) is False


def test_yes_confirms_after_the_evidence_stood_there(considered, golden):
    confirmer, shown = asked("yes")
    assert confirmer.confirm(considered(Verdict.CONFIRM)) is True
    golden("confirm.txt", "".join(shown))


@pytest.mark.parametrize("answer", ["", "Shop", "shop2", "yes", "sho p", EOFError(), KeyboardInterrupt()])
def test_only_the_name_of_the_cluster_elevates(answer):
    confirmer, _ = asked(answer)
    assert confirmer.elevate(REQUEST, None) is False


def test_the_name_elevates_after_the_request_stood_there(considered, golden):
    confirmer, shown = asked("shop")
    assert confirmer.elevate(REQUEST, None) is True
    golden("elevate.window.txt", "".join(shown))
    confirmer, shown = asked("shop")
    statement = ElevationRequest(
        cluster="shop", scope=Scope.STATEMENT, reason="r", digest="d", exact="e", server="u-1", window_seconds=60
    )
    assert confirmer.elevate(statement, considered(Verdict.ELEVATE, text="UPDATE t SET a = 1", kind="update")) is True
    golden("elevate.statement.txt", "".join(shown))


def test_a_window_is_asked_for_with_the_nodes_as_they_are_now_and_not_as_a_statement_found_them(considered):
    confirmer, shown = asked("shop")
    request = replace(
        REQUEST, evidence=("node: primary, a primary (proven), free memory 7 MiB", "node: b: unreachable: gone")
    )
    assert confirmer.elevate(request, considered(Verdict.ELEVATE, text="UPDATE t SET a = 1", kind="update")) is True
    text = "".join(shown)
    assert text.startswith(
        "elevation\n  node: primary, a primary (proven), free memory 7 MiB\n  node: b: unreachable: gone\n"
    )
    assert text.count("node:") == 2
    assert "UPDATE t SET a = 1" in text


def test_without_a_terminal_every_answer_is_no(considered):
    confirmer = terminal_confirmer(io.StringIO(), io.StringIO("yes\nshop\n"))
    assert isinstance(confirmer, NoTerminal)
    assert confirmer.confirm(considered(Verdict.CONFIRM)) is False
    assert confirmer.elevate(REQUEST, None) is False


@pytest.mark.parametrize(
    ("given", "elevates"), [("shop", True), ("", False), ("Shop", False), ("shop ", False), ("sho", False)]
)
def test_a_name_on_the_command_line_must_be_whole_and_exact(given, elevates, considered):
    confirmer = GivenConfirmer(given)
    assert confirmer.elevate(REQUEST, None) is elevates
    assert confirmer.confirm(considered(Verdict.CONFIRM)) is False


@pytest.mark.parametrize(("answer", "elevates"), [("shop", True), ("", False), ("yes", False), ("Shop", False)])
def test_at_a_terminal_the_name_on_the_command_line_is_typed_once_more(answer, elevates, considered):
    terminal, shown = asked(answer)
    statement = considered(Verdict.ELEVATE, text="UPDATE t SET a = 1", kind="update")
    one = replace(REQUEST, scope=Scope.STATEMENT, digest="d", exact="e", server="u-1", reason="r")
    assert GivenConfirmer("shop", terminal, seated=True).elevate(one, statement) is elevates
    assert "elevation on shop, for: UPDATE t SET a = 1\n" in "".join(shown)
    assert GivenConfirmer("till", terminal, seated=True).elevate(one, statement) is False


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("CREATE USER u IDENTIFED BY 'hunter2'", "for: update, which is not shown: it may hold a secret\n"),
        (f"UPDATE t SET a = '{'x' * 400}' WHERE id = 1 OR 1 = 1", "… (441 characters in all)\n"),
    ],
)
def test_the_short_question_shows_no_secret_and_says_what_it_does_not_show(text, said, considered):
    terminal, shown = asked("shop")
    one = replace(REQUEST, scope=Scope.STATEMENT, digest="d", exact="e", server="u-1", reason="r")
    assert GivenConfirmer("shop", terminal).elevate(one, considered(Verdict.ELEVATE, text=text, kind="update"))
    assert said in "".join(shown)
    assert "hunter2" not in "".join(shown)


def test_who_sits_at_a_terminal_that_cannot_be_asked_is_not_elevated_by_an_argument():
    assert GivenConfirmer("shop", NoTerminal(), seated=True).elevate(REQUEST, None) is False
    assert GivenConfirmer("shop", NoTerminal()).elevate(REQUEST, None) is True


def test_what_was_typed_before_the_question_answers_nothing(considered):
    ours, theirs = pty.openpty()
    with open(theirs, closefd=True) as answers:
        os.write(ours, b"yes\n")

        class Terminal(io.StringIO):
            def isatty(self):
                return True

            def write(self, text):
                if text.startswith("run exactly"):
                    # The person answers only once the question stands there; the pasted yes above came before it.
                    import threading

                    threading.Timer(0.2, os.write, (ours, b"no\n")).start()
                return super().write(text)

        confirmer = terminal_confirmer(Terminal(), answers)
        assert confirmer.confirm(considered(Verdict.CONFIRM)) is False
    os.close(ours)


def test_a_brake_says_that_it_asks_whoever_is_elevated(considered):
    found = considered(Verdict.ELEVATE, text="DELETE FROM t", kind="delete")
    braked = replace(found, decision=replace(found.decision, brakes=("no-key",), asks_again=("every row",)))
    confirmer, shown = asked("yes")
    assert confirmer.confirm(braked) is True
    assert "".join(shown).startswith("delete: elevated, and asked once more\n")
    # What stood on the command line answers for the elevation, not for this.
    assert GivenConfirmer("shop").confirm(braked) is False


def test_who_vouched_for_a_statement_saw_what_its_brake_says_and_is_not_asked_again(considered):
    found = considered(Verdict.ELEVATE, text="DELETE FROM t", kind="delete")
    braked = replace(found, decision=replace(found.decision, brakes=("no-key",), asks_again=("every row",)))
    terminal, shown = asked("shop")
    confirmer = GivenConfirmer("shop", terminal, seated=True)
    request = ElevationRequest(
        cluster="shop", scope=Scope.STATEMENT, reason="r", digest="d", exact="e", server="s", statement=1
    )
    assert confirmer.elevate(request, braked) is True
    assert "careful: every row\n" in "".join(shown)
    assert confirmer.confirm(braked) is True
    # Another attempt is another question, and nobody answers it.
    assert confirmer.confirm(replace(braked)) is False
