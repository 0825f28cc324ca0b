"""The context of a session: person, cluster, options, people to ask, and the prompt's status."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Protocol

import msgspec

from safeconsole import __version__
from safeconsole.approvals.requests import ApprovalRequest, Notifier, SecondPerson
from safeconsole.audit.record import SessionOpened
from safeconsole.config.identity import Person
from safeconsole.policy.decision import Assessment, ElevationRequest, Grant, Scope
from safeconsole.policy.facts import Circumstances
from safeconsole.policy.limits import Limits
from safeconsole.policy.policy import Policy
from safeconsole.session.transactions import Transaction
from safeconsole.sqltext.vocabulary import Flavour


class Justification(msgspec.Struct, frozen=True, kw_only=True):
    """A reason and a ticket given in advance, for each statement of a one-shot that needs an elevation.

    Attributes:
        reason: why, in the person's words, not blank.
        ticket: reference of the incident or change, or "".
        despite: ids of the rules that ask whoever is elevated once more, answered beforehand.

    Raises:
        ValueError: a blank reason.
    """

    reason: str
    ticket: str = ""
    despite: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ValueError("a justification needs a reason")


class SessionContext(msgspec.Struct, frozen=True, kw_only=True):
    """The person, cluster, face and options of a session.

    Attributes:
        face: "sql", "one-shot", "python", "job".
        to: "replica", "primary", a node's name, or "" to let the console choose.
        schema: where the session starts, or "".
        limits: ceilings asked for, by name.
        justification: see `Justification`.
        governed: whether the system's configuration sets the cluster, and with it the policy.
        demo: the mark of the demo that the cluster is said to be, "" for none.
        diagnoses: whether the cluster has an account for diagnosis.
    """

    cluster: str
    environment: str
    face: str
    person: Person
    to: str = ""
    schema: str = ""
    limits: Mapping[str, float] = msgspec.field(default_factory=dict)
    justification: Justification | None = None
    governed: bool = False
    demo: str = ""
    diagnoses: bool = False


def circumstances_of(
    context: SessionContext,
    *,
    flavour: Flavour,
    statements: int = 0,
    rate: tuple[int, float] = (0, 0.0),
    grant: Grant | None = None,
) -> Circumstances:
    """Return the facts of a context that policies may use.

    Args:
        statements: how many were asked in the session.
        rate: how many it sent in the last minute, and the seconds until the first of them is out of it.
        grant: the elevation that covers the statement in question, if any.
    """
    return Circumstances(
        flavour=flavour,
        person=context.person.name,
        groups=context.person.groups,
        agent=bool(context.person.agent),
        face=context.face,
        interactive=context.person.terminal,
        statements=statements,
        statements_a_minute=rate[0],
        room_seconds=rate[1],
        cluster=context.cluster,
        environment=context.environment,
        elevated=grant is not None,
        scope=grant.request.scope if grant else "",
        ticket=grant.request.ticket if grant else "",
        reason=grant.request.reason if grant and grant.request.scope is Scope.BREAK_GLASS else "",
        tables=grant.tables if grant else (),
    )


def opening_record(context: SessionContext, policy: Policy) -> SessionOpened:
    """Return the first record of a session's journal."""
    person = context.person
    return SessionOpened(
        person=person.name,
        login=person.login,
        groups=person.groups,
        host=person.host,
        origin=person.origin,
        agent=person.agent,
        face=context.face,
        cluster=context.cluster,
        environment=context.environment,
        policy=policy.name,
        policy_hash=policy.hash,
        program=f"safeconsole {__version__}, Python {sys.version_info.major}.{sys.version_info.minor}",
    )


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The status for a prompt.

    Attributes:
        node, role: where the last statement went; "" before the first.
        schema: the session's schema, or "".
        servers: the identities of the cluster's nodes as last measured; empty before that.
        elevated_seconds: seconds left of an elevation, 0 when there is none.
        limits: what holds for a statement before its rules tighten it.
        to: "replica", "primary" or a node's name, "" when the console chooses.
        transaction: what the person has open, or None.
        transaction_seconds: how long it has been open, 0 without one.
        reads_at, reads_role: where the next read would go as far as that is known, "" where it is yet to be chosen.
        elevation_ended: why the last window is over, "" where none is or the person ended it.
    """

    cluster: str
    environment: str
    node: str
    role: str
    schema: str
    elevated_seconds: float
    limits: Limits
    to: str
    transaction: Transaction | None = None
    transaction_seconds: float = 0.0
    servers: frozenset[str] = frozenset()
    elevation_ended: str = ""
    reads_at: str = ""
    reads_role: str = ""


class Confirmer(Protocol):
    """Asks the person; without a terminal every answer is no."""

    def confirm(self, considered: Assessment) -> bool: ...

    def elevate(self, request: ElevationRequest, considered: Assessment | None) -> bool:
        """Show the evidence and ask for the cluster's name; an interrupt is a no."""
        ...

    def show_approval(self, code: str, request: ApprovalRequest) -> None:
        """Show what a second person runs; their answer comes by itself."""
        ...

    def paste_approval(self, code: str, request: ApprovalRequest) -> str:
        """Show what a second person runs and return the answer that the person pastes, "" for none."""
        ...

    def skip_approval(self, request: ApprovalRequest, skipped: tuple[str, ...]) -> bool:
        """Warn who would be skipped and notified, and ask for it by name; an interrupt is a no."""
        ...


class People(msgspec.Struct, frozen=True, kw_only=True):
    """The people to ask, and to notify.

    Attributes:
        second: gets somebody else's approval, or None where nobody can be asked.
        notifier: tells others, or None where nobody is to be told.
        waits: whether whoever asks waits until somebody else has approved it; else they ask again afterwards.
    """

    confirmer: Confirmer
    second: SecondPerson | None = None
    notifier: Notifier | None = None
    waits: bool = True
