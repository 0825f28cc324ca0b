"""
How a session is elevated and stops being it: ask, record, only then hold.

The states are `core.elevation`'s table. A state changes after its record is durable; a person who is
asked and interrupts has not granted.
"""

from __future__ import annotations

from dataclasses import replace

from safeconsole.core.approval import ApprovalRequest
from safeconsole.core.decision import Considered
from safeconsole.core.elevation import Event, Grant, Request, Scope, State, covers, next_state
from safeconsole.core.errors import AuditUnavailableError, RefusedError, SafeConsoleError
from safeconsole.core.notice import Notice
from safeconsole.core.policy import ElevationSettings
from safeconsole.core.record import Approved, ElevationChanged, Noticed
from safeconsole.core.visit import Visit
from safeconsole.interfaces import Clock, Journal, People


class Elevations:
    """At most one elevation at a time, for one session."""

    def __init__(
        self,
        *,
        settings: ElevationSettings,
        visit: Visit,
        journal: Journal,
        clock: Clock,
        people: People,
    ) -> None:
        self._settings = settings
        self._visit = visit
        self._people = people
        self._journal = journal
        self._clock = clock
        self._grant: Grant | None = None
        self._asked = 0

    @property
    def is_held(self) -> bool:
        """Whether a grant is held; its time may be over."""
        return self._grant is not None

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

    def ask(self, request: Request, considered: Considered | None, *, sql: str = "") -> Grant:
        """
        Ask the person, and a second one where the policy says so; hold the grant when the yes is on disk.

        Args:
            request: what is asked for.
            considered: the statement behind it, if there is one.
            sql: its text as the journal holds it.

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
            self._have_agreed(asked, considered, sql)
        except AuditUnavailableError:
            raise
        except KeyboardInterrupt:
            self._move(asked, Event.INTERRUPTED)
            raise RefusedError("the elevation was not granted: interrupted", instead="ask again") from None
        except BaseException as error:
            # A question that broke was not answered.
            refused = isinstance(error, SafeConsoleError)
            self._move(asked, Event.ANSWERED_NO if refused else Event.INTERRUPTED)
            raise
        # One at a time: what was granted before ends with its own record, and is not quietly prolonged.
        self.end(Event.STOOD_DOWN)
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

    def use(self, sql: str) -> None:
        """Tell that the grant in force is used for a statement; one for a single statement ends with it."""
        grant = self._grant
        if grant is None:
            return
        self._tell(grant, "used", sql)
        if grant.request.scope is Scope.STATEMENT:
            self.end(Event.USED)

    def settle(self) -> tuple[str, ...]:
        """Give notices that are on their way a moment, and return what was not delivered."""
        return self._people.notifier.settle() if self._people.notifier is not None else ()

    def _have_agreed(self, asked: Grant, considered: Considered | None, sql: str) -> None:
        """Get every yes that the policy asks for. Raises SafeConsoleError: somebody did not give theirs."""
        cluster = asked.request.cluster
        if not self._people.confirmer.elevate(asked.request, considered):
            raise RefusedError(
                f"the elevation was not granted: the name typed is not {cluster}",
                instead=f"type the cluster's name at the question, or give --confirm {cluster}",
            )
        if self._needs_second(asked.request, considered):
            self._have_approved(asked, considered, sql)
        self._tell_first(asked)

    def _tell_first(self, asked: Grant) -> None:
        """Where the policy asks for it, nothing is granted before others know."""
        if not self._settings.notice_required:
            return
        notifier = self._people.notifier
        trouble = notifier.deliver(self._notice(asked, "about to be granted", "")) if notifier else "none is configured"
        if trouble:
            self._journal.append(Noticed(what="notice not delivered", detail=trouble), durable=True)
            raise RefusedError(
                f"the policy asks that others are told first, and the notice was not delivered: {trouble}",
                instead="mend [notices] in the configuration, or its receiver",
            )

    def _tell(self, grant: Grant, what: str, detail: str = "") -> None:
        if self._people.notifier is not None:
            self._people.notifier.notify(self._notice(grant, what, detail))

    def _notice(self, grant: Grant, what: str, detail: str) -> Notice:
        person, request = self._visit.person, grant.request
        return Notice(
            what=what,
            elevation=grant.id,
            time=self._clock.utc(),
            person=person.name,
            host=person.host,
            agent=person.agent,
            cluster=request.cluster,
            environment=self._visit.environment,
            scope=request.scope,
            reason=request.reason,
            ticket=request.ticket,
            detail=detail,
        )

    def _needs_second(self, request: Request, considered: Considered | None) -> bool:
        """Whether the policy asks for two; a window covers every effect, so it needs what any of them needs."""
        if request.scope is Scope.BREAK_GLASS or considered is None:
            return bool(self._settings.two_persons)
        return not considered.statement.effects.isdisjoint(self._settings.two_persons)

    def _have_approved(self, asked: Grant, considered: Considered | None, sql: str) -> None:
        """Get the second person's yes and record it, or that the policy lets this one go without."""
        second, digest = self._people.second, asked.request.digest
        if second is None:
            raise RefusedError("the policy asks for a second person, and nobody can be asked from here")
        request = self._approval_request(asked, considered, sql, expires_epoch=second.expiry())
        try:
            approval = second.approve(request)
        except RefusedError:
            if not self._may_be_skipped(request, second.approvers(request.person)):
                raise
            self._record_skipped(asked, second.approvers(request.person))
            return
        self._journal.append(
            Approved(
                statement=-1,
                request=asked.id,
                approver=approval.approver,
                answer="approved",
                digest=digest,
                key=approval.key,
            ),
            durable=True,
        )

    def _may_be_skipped(self, request: ApprovalRequest, skipped: tuple[str, ...]) -> bool:
        """Whether the policy lets an emergency go without the second person, and the person says that this is one."""
        return (
            self._settings.approval_may_be_skipped
            and not self._visit.person.agent
            and bool(skipped)
            and self._people.confirmer.skip_approval(request, skipped)
        )

    def _record_skipped(self, asked: Grant, skipped: tuple[str, ...]) -> None:
        names = ", ".join(skipped)
        self._journal.append(
            Approved(
                statement=-1,
                request=asked.id,
                approver=names,
                answer="skipped",
                digest=asked.request.digest,
                reason=asked.request.reason,
            ),
            durable=True,
        )
        self._tell(asked, "approval skipped", f"not waited for {names}")

    def _approval_request(
        self, asked: Grant, considered: Considered | None, sql: str, *, expires_epoch: int
    ) -> ApprovalRequest:
        request = asked.request
        return ApprovalRequest(
            id=asked.id,
            cluster=request.cluster,
            environment=self._visit.environment,
            server=request.server,
            node=(considered.node or "") if considered and request.server else "",
            person=self._visit.person.name,
            host=self._visit.person.host,
            reason=request.reason,
            ticket=request.ticket,
            scope=request.scope,
            sql=sql if request.digest else "",
            digest=request.digest,
            evidence=considered.evidence if considered and request.digest else (),
            window_seconds=request.window_seconds,
            expires_epoch=expires_epoch,
        )

    def _check(self, request: Request) -> None:
        if self._visit.person.agent and not self._settings.agents_may_elevate:
            raise RefusedError(
                f"an agent ({self._visit.person.agent}) cannot elevate by itself",
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
        # Told after it is durable, and only what others need: what they are told of is in the journal.
        told = {State.ASKED: "asked", State.GRANTED: "granted"}.get(grant.state, f"ended ({grant.state})")
        self._tell(grant, told)
