"""
How a session is elevated and stops being it: ask, record, only then hold.

The states are `core.elevation`'s table. A state changes after its record is durable; a person who is
asked and interrupts has not granted.
"""

from __future__ import annotations

from dataclasses import replace

from safeconsole.core.decision import Considered
from safeconsole.core.elevation import Event, Grant, Request, State, covers, next_state
from safeconsole.core.errors import RefusedError
from safeconsole.core.person import Person
from safeconsole.core.policy import ElevationSettings
from safeconsole.core.record import ElevationChanged
from safeconsole.interfaces import Clock, Confirmer, Journal


class Elevations:
    """At most one elevation at a time, for one session."""

    def __init__(
        self, *, settings: ElevationSettings, person: Person, journal: Journal, clock: Clock, confirmer: Confirmer
    ) -> None:
        self._settings = settings
        self._person = person
        self._journal = journal
        self._clock = clock
        self._confirmer = confirmer
        self._grant: Grant | None = None
        self._asked = 0

    def current(self) -> Grant | None:
        """The grant in force, or None; one whose time is over ends here, and is recorded."""
        grant = self._grant
        if grant is not None and not grant.granted_seconds <= self._clock.monotonic() < grant.ends_seconds:
            self.end(Event.TIME_PASSED)
        return self._grant

    def covering(self, digest: str, server: str) -> Grant | None:
        """The grant in force for a statement on an instance, or None."""
        grant = self.current()
        return grant if grant is not None and covers(grant, digest, server, self._clock.monotonic()) else None

    def remaining_seconds(self) -> float:
        """Seconds left of the grant in force, 0 without one."""
        grant = self.current()
        return grant.ends_seconds - self._clock.monotonic() if grant is not None else 0.0

    def ask(self, request: Request, considered: Considered | None) -> Grant:
        """
        Ask the person, and hold the grant when they said yes and that is on disk.

        Raises:
            RefusedError: policy forbids the request, or the person did not grant it.
            AuditUnavailableError: it could not be recorded; nothing is granted.
        """
        self._check(request)
        self._asked += 1
        asked = Grant(
            id=f"{self._journal.session}.{self._asked}",
            request=request,
            granted_seconds=self._clock.monotonic(),
            ends_seconds=self._clock.monotonic(),
            state=State.ASKED,
        )
        self._record(asked, "asked")
        try:
            yes = self._confirmer.elevate(request, considered)
        except KeyboardInterrupt:
            self._move(asked, Event.INTERRUPTED)
            raise RefusedError("the elevation was not granted: interrupted", instead="ask again") from None
        if not yes:
            self._move(asked, Event.ANSWERED_NO)
            raise RefusedError(
                f"the elevation was not granted: the name typed is not {request.cluster}",
                instead=f"type the cluster's name at the question, or give --confirm {request.cluster}",
            )
        now = self._clock.monotonic()
        granted = replace(asked, granted_seconds=now, ends_seconds=now + request.window_seconds)
        # MUST be durable before it is held: there is no elevation that the journal does not know.
        self._grant = self._move(granted, Event.RECORDED_YES)
        return self._grant

    def end(self, event: Event) -> None:
        """End the grant in force, if there is one; it ends even when that cannot be recorded."""
        grant, self._grant = self._grant, None
        if grant is not None:
            self._move(grant, event)

    def _check(self, request: Request) -> None:
        if self._person.agent and not self._settings.agents_may_elevate:
            raise RefusedError(
                f"an agent ({self._person.agent}) cannot elevate by itself",
                instead="a person runs the statement, or grants it from their own terminal",
            )
        if self._settings.ticket_required and not request.ticket.strip():
            raise RefusedError("the policy asks for a ticket", instead="give one with --ticket ID")
        if request.window_seconds > self._settings.max_window_seconds:
            raise RefusedError(
                f"the policy allows {self._settings.max_window_seconds:.0f} s of elevation at most, "
                f"{request.window_seconds:.0f} s were asked for",
                instead="ask for less; a window can be asked for again when it is over",
            )

    def _move(self, grant: Grant, event: Event) -> Grant:
        moved = replace(grant, state=next_state(grant.state, event))
        self._record(moved, event)
        return moved

    def _record(self, grant: Grant, event: str) -> None:
        request = grant.request
        self._journal.append(
            ElevationChanged(
                id=grant.id,
                state=grant.state,
                event=event,
                scope=request.scope,
                cluster=request.cluster,
                reason=request.reason,
                ticket=request.ticket,
                digest=request.digest,
                server=request.server,
                window_seconds=request.window_seconds,
            ),
            durable=True,
        )
