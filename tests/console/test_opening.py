"""A session is opened behind the prompt: typing waits for nothing, the first Enter for what it needs."""

import io
import threading

import pytest
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from safeconsole.errors import AuditUnavailableError, UnreachableError
from safeconsole.policy.limits import Limits
from safeconsole.session.context import Status
from safeconsole.cli.sql import first_prompt_text
from safeconsole.console.console import Terminal, talk
from safeconsole.console.state import Opened, Opening
from safeconsole.console.prompt import opening_parts, prompt_parts
from safeconsole.console.state import Services, Streams


def standing(**changes):
    held = {"cluster": "shop", "environment": "production", "node": "", "role": "", "schema": "main"}
    return Status(**held | changes, elevated_seconds=0.0, limits=Limits(), to="")


class Desk:
    """A console whose session is opened by a function."""

    def __init__(self, act):
        self.data, self.messages = io.StringIO(), io.StringIO()
        self.opening = Opening(act)

    def type(self, text):
        streams = Streams(data=self.data, messages=self.messages, environ={}, ask=lambda _question: "")
        with create_pipe_input() as keys:
            keys.send_text(text)
            return talk(
                self.opening,
                standing=standing(),
                terminal=Terminal(keys=keys, drawing=DummyOutput(), streams=streams),
            )


def test_what_is_typed_before_the_session_is_open_runs_in_it(sitting):
    desk = sitting({"SELECT 1": [{"x": 1}]})

    def act():
        # Longer than typing takes: the Enter is there before the session is.
        threading.Event().wait(0.3)
        return Opened(session=desk.session, services=desk.services)

    console = Desk(act)
    assert console.type("SELECT 1;\r\x04") == 0
    assert desk.session.sent == ["SELECT 1"]
    assert "1" in console.data.getvalue()


@pytest.mark.parametrize("typed", ["", "SELECT 1;\r"], ids=["nothing typed", "already sent"])
def test_a_session_that_cannot_be_opened_ends_the_console_with_its_error(typed):
    def act():
        threading.Event().wait(0.1)
        raise AuditUnavailableError("the journal is full")

    with pytest.raises(AuditUnavailableError, match="the journal is full"):
        Desk(act).type(typed)


def test_who_leaves_before_the_session_is_open_leaves_at_once(sitting):
    open_now, desk = threading.Event(), sitting({})

    def act():
        assert open_now.wait(10)
        return Opened(session=desk.session, services=desk.services)

    console = Desk(act)
    assert console.type("\x04") == 0
    open_now.set()
    console.opening.settle()
    assert console.opening.now() is not None


def test_servers_that_cannot_be_asked_are_told_above_the_prompt(sitting):
    desk, told = sitting({}), threading.Event()

    def rules():
        raise UnreachableError("no node of cluster shop answers")

    def act():
        return Opened(session=desk.session, services=Services(rules=rules, preview=desk.session.preview))

    console = Desk(act)
    write = console.messages.write
    console.messages.write = lambda text: (write(text), told.set())
    with create_pipe_input() as keys:
        streams = Streams(data=console.data, messages=console.messages, environ={}, ask=lambda _question: "")
        leaver = threading.Thread(target=lambda: (told.wait(10), keys.send_text("\x04")))
        leaver.start()
        terminal = Terminal(keys=keys, drawing=DummyOutput(), streams=streams)
        assert talk(console.opening, standing=standing(), terminal=terminal) == 0
        leaver.join()
    assert "no node of cluster shop answers" in console.messages.getvalue()


def test_it_is_opened_once_however_often_it_is_begun():
    opened = []
    opening = Opening(lambda: opened.append(1))
    for _ in range(3):
        opening.begin()
    opening.settle()
    assert opened == [1]


@pytest.mark.parametrize("environment", ["production", "staging"])
@pytest.mark.parametrize("schema", ["", "main"])
def test_the_first_prompt_reads_as_the_real_one(environment, schema):
    real = "".join(text for _, text in prompt_parts(standing(environment=environment, schema=schema)))
    first = first_prompt_text("shop", schema, environment)
    for code in ("\x1b[?2004h", "\x1b[1;31m", "\x1b[1m", "\x1b[0m"):
        first = first.replace(code, "")
    assert first == real
    assert ("\x1b[1;31m" in first_prompt_text("shop", schema, environment)) is (environment == "production")


def test_a_name_drives_no_terminal():
    assert "\x07" not in first_prompt_text("sh\x07op", "a\x1b]0;b", "")


def test_the_line_below_says_that_the_session_is_being_opened():
    assert opening_parts("shop", 80)[0][1].startswith(" opening shop …")
    assert len(opening_parts("shop", 20)[0][1]) == 20
