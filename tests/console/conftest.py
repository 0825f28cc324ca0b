"""A console without servers: real analysis, a real policy, scripted rows, keys from a pipe."""

import io
import threading
import json
import sqlite3
import time
import types
from collections.abc import Iterator
from msgspec.structs import replace
from functools import partial

import pytest
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from safeconsole.dialects import DIALECTS
from safeconsole.clock import SystemClock
from safeconsole.audit.journal import open_journal
from safeconsole.config.policies import PolicyFiles
from safeconsole.sqlite.engine import open_engine
from safeconsole.sqltext.analysis import analyse
from safeconsole.policy.decision import Assessment
from safeconsole.policy.decision import Grant, ElevationRequest, Scope
from safeconsole.errors import Action, ConfigurationError, DeniedError, RefusedError, Remedy
from safeconsole.policy.facts import Circumstances
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.policy.limits import tighten
from safeconsole.config.identity import Person
from safeconsole.session.deciding import preview
from safeconsole.audit.record import Ended
from safeconsole.policy.readings import Identity, Reading, route_of
from safeconsole.config.settings import ClusterSettings
from safeconsole.sqltext.statement import Estimate
from safeconsole.sqltext.vocabulary import Flavour, NodeName, Role, Route, Verdict
from safeconsole.demo.embedded import Replicator, create_embedded
from safeconsole.session.context import Status
from safeconsole.session.context import SessionContext
from safeconsole.session.context import People
from safeconsole.session.session import Session
from safeconsole.cluster.engine import Column
from safeconsole.session.result import Result, Execution, unseen
from safeconsole.console.console import Terminal, run_console
from safeconsole.console.state import Services, Streams
from safeconsole.output.confirming import TerminalConfirmer

RULES = LexicalRules(dialect=DIALECTS[Flavour.SQLITE])


def _answered(execution, first, rows):
    execution.columns = tuple(Column(name=name, numeric=isinstance(first[name], int)) for name in first)
    yield ()
    if rows:
        yield rows
    execution.ended = Ended(statement=1, outcome="done", rows=len(rows), elapsed_seconds=0.002)


class ScriptedGate:
    """
    A gate without servers: analysis and policy are the real ones, rows come from a script.

    `answers` maps a statement's text to its rows, each a dict by column, or to the error that it ends with; an
    iterator gives one of these each time.
    """

    def __init__(self, answers):
        self.policy = PolicyFiles().load("baseline")
        self.context = types.SimpleNamespace(cluster="shop", person=None)
        self.answers = answers
        self.sent, self.notes, self.told = [], [], []
        self.to, self.schema, self.tight = "", "", {}
        self.elevation = None
        self._last = None

    @property
    def limits(self):
        return tighten(self.policy.limits, self.tight)

    def status(self):
        assert threading.current_thread() is threading.main_thread(), "status lets go of connections"
        return Status(
            cluster="shop", environment="staging", node=self._last.node if self._last else "",
            role=str(self._last.route) if self._last else "", schema=self.schema,
            elevated_seconds=871.0 if self.elevation else 0.0, limits=tighten(self.policy.limits, self.tight), to=self.to,
        )  # fmt: skip

    def take_told(self):
        told, self.told = tuple(self.told), []
        return told

    def split(self, text):
        return analyse(text, RULES, schema=self.schema)

    def preview(self, statement):
        circumstances = Circumstances(flavour=Flavour.SQLITE, cluster="shop", elevated=self.elevation is not None)
        limits = tighten(self.policy.limits, self.tight)
        return preview(
            statement, rules=lambda: RULES, policy=self.policy, circumstances=circumstances, to=self.to, limits=limits
        ).decision

    def last(self):
        return self._last

    def execute(  # noqa: PLR0913 (as the session)
        self, statement, *, by_console=False, justification=None, as_text=False, progress=unseen, exactly_rows=-1,
        to=None,
    ):  # fmt: skip
        if by_console:
            raise RefusedError("not in a script")
        decision, route = self.preview(statement), route_of(statement, to=self.to)
        self._last = Assessment(
            statement=statement, route=route, node=NodeName("primary" if route is Route.PRIMARY else "replica-1"),
            identity=Identity(server="u", address="a"), estimate=Estimate(), decision=decision,
            evidence=(f"node: a {route}", "free memory unknown"),
        )  # fmt: skip
        if decision.verdict is Verdict.DENY:
            raise DeniedError(decision.message, evidence=self._last.evidence, instead=decision.instead)
        if decision.verdict is not Verdict.ALLOW and not self.elevation:
            raise RefusedError(
                decision.message,
                evidence=self._last.evidence,
                instead=decision.instead,
                remedies=(Remedy(Action.ELEVATE),),
            )
        self.sent.append(statement.text)
        answer = self.answers[statement.text]
        found = next(answer) if isinstance(answer, Iterator) else answer
        if isinstance(found, BaseException):
            raise found
        rows = [tuple(row.values()) for row in found]
        first = found[0] if found else {}
        execution = Execution(SystemClock())
        result = Result(self._last, _answered(execution, first, rows), execution)
        result.begin()
        return result

    def elevate(self, *, reason, ticket="", window_seconds=900.0):
        request = ElevationRequest(
            cluster="shop", scope=Scope.BREAK_GLASS, reason=reason, ticket=ticket, window_seconds=window_seconds
        )
        self.elevation = Grant(id="1", request=request, granted_seconds=0, ends_seconds=window_seconds)
        return self.elevation

    def stand_down(self):
        self.elevation = None

    def use(self, to):
        if to not in {"", "replica", "primary", "replica-1"}:
            raise ConfigurationError(f"shop has no node {to}")
        self.to = to

    def use_schema(self, schema):
        self.schema = schema

    def tighten(self, name, value):
        if value > getattr(self.policy.ceilings, name):
            raise ConfigurationError(f"{name}: the policy allows {getattr(self.policy.ceilings, name)} at most")
        self.tight[name] = value
        return self.status().limits

    def topology(self):
        return (Reading(node=NodeName("primary"), role=Role.PRIMARY, proof="writable"),)

    def note(self, what, detail="", *, sql=""):
        self.notes.append((what, detail, sql) if sql else (what, detail))


class Sitting:
    """One console driven through a pipe: what was typed, what was written, what was sent."""

    def __init__(self, answers):
        self.session = ScriptedGate(answers)
        self.data, self.messages = io.StringIO(), io.StringIO()
        self.questions, self.replies = [], []
        self.services = Services(rules=lambda: RULES, preview=self.session.preview, pause=self._pause)
        self.paused = []

    def _pause(self, seconds):
        self.paused.append(seconds)

    def _ask(self, question):
        self.questions.append(question)
        if not self.replies:
            raise EOFError
        return self.replies.pop(0)

    def type(self, text, history="", environ=None):
        """Type a text, then Ctrl-D at an empty prompt; returns the exit code."""
        streams = Streams(data=self.data, messages=self.messages, environ=environ or {}, ask=self._ask)
        with create_pipe_input() as keys:
            keys.send_text(text + "\x04")
            return run_console(
                self.session,
                services=self.services,
                history_directory=history,
                terminal=Terminal(keys=keys, drawing=DummyOutput(), streams=streams),
            )


@pytest.fixture
def sitting():
    return Sitting


PERSON = Person(name="ada", login="ada", groups=(), host="laptop", terminal=True)


class Screen(io.StringIO):
    """A terminal that keeps what is written to it."""

    encoding = "utf-8"

    def isatty(self):
        return True


def _interrupt(_seconds):
    raise KeyboardInterrupt


class Road:
    """One session on an embedded cluster; `answers` are what the person says when asked."""

    def __init__(self, directory):
        self.cluster = create_embedded(directory / "files")
        clock = SystemClock()
        settings = ClusterSettings(nodes=tuple(str(node.path) for node in self.cluster.nodes), engine="sqlite")
        engine = open_engine("shop", settings, clock)
        self.data, self.messages = io.StringIO(), io.StringIO()
        self.answers = []
        self.journal = open_journal(directory / "audit", clock=clock)
        self.session = Session(
            context=SessionContext(cluster="shop", environment="production", face="sql", person=PERSON),
            policy=PolicyFiles().load("baseline"),
            engine=engine,
            journal=self.journal,
            clock=clock,
            people=People(confirmer=TerminalConfirmer(self.ask, self.messages.write)),
        )
        circumstances = Circumstances(flavour=engine.flavour, cluster="shop", interactive=True)
        judge = partial(preview, policy=self.session.policy, circumstances=circumstances, rules=lambda: engine.rules)
        self.services = Services(rules=lambda: engine.rules, preview=lambda statement: judge(statement).decision)

    def ask(self, question):
        self.messages.write(question + "\n")
        if not self.answers:
            raise EOFError
        return self.answers.pop(0)

    def type(self, text):
        streams = Streams(data=self.data, messages=self.messages, environ={}, ask=self.ask)
        with create_pipe_input() as keys:
            keys.send_text(text + "\x04")
            run_console(
                self.session,
                services=self.services,
                terminal=Terminal(keys=keys, drawing=DummyOutput(), streams=streams),
            )
        return self.data.getvalue(), self.messages.getvalue()

    def type_decorated(self, lines):
        """Paste lines one after the other on a terminal, and return everything that was shown."""
        stream = Screen()
        streams = Streams(data=stream, messages=stream, environ={"TERM": "xterm", "COLUMNS": "200"}, ask=self.ask)
        services = replace(self.services, pause=_interrupt)
        with create_pipe_input() as keys:
            keys.send_text("".join(f"\x1b[200~{line}\x1b[201~\x1b\r" for line in lines) + "\x04")
            run_console(
                self.session, services=services, terminal=Terminal(keys=keys, drawing=DummyOutput(), streams=streams)
            )
        return stream.getvalue()

    def wait_unfit(self):
        for _ in range(200):
            if not any(each.replicating for each in self.session.topology() if each.role is Role.REPLICA):
                return
            time.sleep(0.05)
        raise AssertionError("the replicas still replicate")

    def records(self):
        self.session.close()
        lines = self.journal.path.read_text().splitlines()
        return [json.loads(line)["record"] for line in lines]

    def status_of_order(self, number):
        with sqlite3.connect(f"file:{self.cluster.primary.path}?mode=ro", uri=True) as primary:
            return primary.execute("SELECT status FROM orders WHERE id = ?", (number,)).fetchone()[0]


@pytest.fixture
def road(tmp_path):
    road = Road(tmp_path)
    with Replicator(road.cluster) as replicator:
        road.replicator = replicator
        assert replicator.wait_caught_up()
        for _ in range(100):
            if all(reading.replicating or reading.role is Role.PRIMARY for reading in road.session.topology()):
                break
            time.sleep(0.02)
        yield road
        road.session.close()
