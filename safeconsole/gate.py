"""The one road that every statement walks, readable top to bottom."""

from __future__ import annotations

from dataclasses import dataclass

from safeconsole.core.decision import Considered
from safeconsole.core.elevation import Grant
from safeconsole.core.limits import Limits
from safeconsole.core.record import Ended
from safeconsole.core.routing import Reading
from safeconsole.core.statement import Statement
from safeconsole.interfaces import Presenter


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """
    What a prompt shows.

    Attributes:
        cluster, environment: from the configuration.
        node, role: where reads go now; "" before the first statement.
        schema: the session's schema, or "".
        elevated_seconds: seconds left of an elevation, 0 when there is none.
        limits: what the person tightened, on top of the policy.
        to: "replica", "primary" or a node's name, "" when the console chooses.
    """

    cluster: str
    environment: str
    node: str
    role: str
    schema: str
    elevated_seconds: float
    limits: Limits
    to: str


class Gate:
    """One person's session on one cluster."""

    def status(self) -> Status:
        """What a prompt shows."""
        raise AssertionError

    def split(self, text: str) -> tuple[Statement, ...]:
        """Analyse a text into statements; never raises for what it says."""
        raise AssertionError

    def consider(self, statement: Statement) -> Considered:
        """Route, estimate and decide, and run nothing."""
        raise AssertionError

    def run(self, statement: Statement, presenter: Presenter) -> Ended:
        """Walk the whole road with one statement; raises SafeConsoleError when it does not end well."""
        raise AssertionError

    def last(self) -> Considered | None:
        """The last statement considered, for \\why."""
        raise AssertionError

    def elevate(self, *, reason: str, ticket: str = "", window_seconds: float = 900.0) -> Grant:
        """Open a break-glass window after the person answered; raises RefusedError when they did not."""
        raise AssertionError

    def stand_down(self) -> None:
        """End the elevation."""
        raise AssertionError

    def use(self, to: str) -> None:
        """Send what follows to "replica", "primary", a node's name, or "" to let the console choose."""
        raise AssertionError

    def use_schema(self, schema: str) -> None:
        """Change the session's schema."""
        raise AssertionError

    def tighten(self, name: str, value: float) -> Limits:
        """Tighten one ceiling for the session; raises ConfigurationError when it is unknown or looser than the policy allows."""
        raise AssertionError

    def topology(self) -> tuple[Reading, ...]:
        """Measure every node now."""
        raise AssertionError

    def note(self, what: str, detail: str = "") -> None:
        """Record a console command or something that the person was told."""
        raise AssertionError

    def close(self, reason: str = "") -> None:
        """End the session; never raises."""
        raise AssertionError
