"""A console without servers: real analysis, a real policy, scripted rows, keys from a pipe."""

import io
import types
from collections.abc import Iterator

import pytest
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from safeconsole.adapters.local.policies import PolicyFiles
from safeconsole.core.analysis import analyse
from safeconsole.core.decision import Considered
from safeconsole.core.elevation import Grant, Request, Scope
from safeconsole.core.errors import ConfigurationError, DeniedError, RefusedError
from safeconsole.core.facts import Circumstances
from safeconsole.core.lexer import LexicalRules
from safeconsole.core.limits import tighten
from safeconsole.core.preview import preview
from safeconsole.core.record import Ended
from safeconsole.core.routing import Identity, Reading, route_of
from safeconsole.core.statement import Estimate
from safeconsole.core.vocabulary import Flavour, NodeName, Role, Route, Verdict
from safeconsole.gate import Status
from safeconsole.interfaces import Column
from safeconsole.shells.sql.console import Terminal, run_console
from safeconsole.shells.sql.state import Services, Streams

RULES = LexicalRules(flavour=Flavour.SQLITE)


class ScriptedGate:
    """
    A gate without servers: analysis and policy are the real ones, rows come from a script.

    `answers` maps a statement's text to its rows, each a dict by column, or to the error that it ends with; an
    iterator gives one of these each time.
    """

    def __init__(self, answers):
        self.policy = PolicyFiles().load("baseline")
        self.visit = types.SimpleNamespace(cluster="shop", person=None)
        self.answers = answers
        self.sent, self.notes = [], []
        self.to, self.schema, self.tight = "", "", {}
        self.elevation = None
        self._last = None

    def status(self):
        return Status(
            cluster="shop", environment="staging", node=self._last.node if self._last else "",
            role=str(self._last.route) if self._last else "", schema=self.schema,
            elevated_seconds=871.0 if self.elevation else 0.0, limits=tighten(self.policy.limits, self.tight), to=self.to,
        )  # fmt: skip

    def split(self, text):
        return analyse(text, RULES, schema=self.schema)

    def preview(self, statement):
        circumstances = Circumstances(flavour=Flavour.SQLITE, cluster="shop", elevated=self.elevation is not None)
        limits = tighten(self.policy.limits, self.tight)
        return preview(statement, policy=self.policy, circumstances=circumstances, to=self.to, limits=limits).decision

    def last(self):
        return self._last

    def run(self, statement, presenter, *, by_console=False):
        if by_console:
            raise RefusedError("not in a script")
        decision, route = self.preview(statement), route_of(statement, to=self.to)
        self._last = Considered(
            statement=statement, route=route, node=NodeName("primary" if route is Route.PRIMARY else "replica-1"),
            identity=Identity(server="u", address="a"), estimate=Estimate(), decision=decision,
            evidence=(f"node: a {route}", "free memory unknown"),
        )  # fmt: skip
        if decision.verdict is Verdict.DENY:
            raise DeniedError(decision.message, evidence=self._last.evidence, instead=decision.instead)
        if decision.verdict is not Verdict.ALLOW and not self.elevation:
            raise RefusedError(decision.message, evidence=self._last.evidence, instead=decision.instead)
        self.sent.append(statement.text)
        answer = self.answers[statement.text]
        found = next(answer) if isinstance(answer, Iterator) else answer
        if isinstance(found, BaseException):
            raise found
        rows = [tuple(row.values()) for row in found]
        first = found[0] if found else {}
        presenter.begin(self._last, tuple(Column(name=name, numeric=isinstance(first[name], int)) for name in first))
        presenter.rows(rows)
        ended = Ended(statement=1, outcome="done", rows=len(rows), elapsed_seconds=0.002)
        presenter.end(ended)
        return ended

    def elevate(self, *, reason, ticket="", window_seconds=900.0):
        request = Request(
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

    def note(self, what, detail=""):
        self.notes.append((what, detail))


class Sitting:
    """One console driven through a pipe: what was typed, what was written, what was sent."""

    def __init__(self, answers):
        self.gate = ScriptedGate(answers)
        self.data, self.messages = io.StringIO(), io.StringIO()
        self.questions, self.replies = [], []
        self.services = Services(rules=lambda: RULES, preview=self.gate.preview, pause=self._pause)
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
                self.gate,
                services=self.services,
                history_directory=history,
                terminal=Terminal(keys=keys, drawing=DummyOutput(), streams=streams),
            )


@pytest.fixture
def sitting():
    return Sitting
