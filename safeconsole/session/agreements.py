"""Obtains what an elevation needs: the person's yes, a second person's, and a delivered notice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from safeconsole.approvals.requests import Approval, ApprovalRequest, Notice, SecondPerson, is_portable
from safeconsole.audit.record import Approved, Journal, Noticed
from safeconsole.clock import Clock
from safeconsole.config.identity import NameProof
from safeconsole.errors import Action, ConfigurationError, RefusedError, Remedy
from safeconsole.policy.decision import Assessment, ElevationRequest, Grant, Scope
from safeconsole.policy.policy import ElevationSettings
from safeconsole.session.context import People, SessionContext
from safeconsole.sqltext.redaction import hides_something, may_hold_secret


class Agreements:
    """Obtains every agreement that a session's policy requires, and notifies others."""

    def __init__(
        self,
        *,
        settings: ElevationSettings,
        context: SessionContext,
        journal: Journal,
        clock: Clock,
        people: People,
        is_the_demo: Callable[[], bool] = bool,
    ) -> None:
        self._settings = settings
        self._visit = context
        self._journal = journal
        self._clock = clock
        self._people = people
        self._is_the_demo = is_the_demo
        # The approval that the attempt of now was granted by, until something is sent.
        self._taken: tuple[ApprovalRequest, Approval] | None = None

    @property
    def _agent(self) -> str:
        """The session's agent, if its elevations need a person's approval, else "".

        What a person may write into their own configuration, an agent may write there too: an exception counts where
        the system's configuration sets the cluster, and on a demo that its own servers prove.
        """
        agent, context = self._visit.person.agent, self._visit
        excepted = not self._settings.waits_for_a_person(agent, context.environment)
        return "" if excepted and (not agent or context.governed or self._is_the_demo()) else agent

    @property
    def needs_a_person(self) -> bool:
        return bool(self._agent)

    def require_askable(self, request: ElevationRequest) -> None:
        """Raise RefusedError if the policy does not allow the request at all."""
        cluster = self._visit.cluster
        if self._agent and request.scope is Scope.BREAK_GLASS:
            raise RefusedError(
                f"an agent ({self._agent}) cannot elevate by itself, and no window is opened for one",
                instead="a person opens it at a terminal, or approves one statement: "
                f"safeconsole sql {cluster} -e SQL --reason TEXT --ticket ID --confirm {cluster}",
            )
        if self._settings.ticket_required and not request.ticket.strip():
            raise RefusedError(
                "the policy requires a ticket", instead="give one", remedies=(Remedy(Action.GIVE_TICKET),)
            )
        if request.window_seconds > self._settings.max_window_seconds:
            raise RefusedError(
                f"the policy allows {self._settings.max_window_seconds:.0f} s of elevation at most, "
                f"{request.window_seconds:.0f} s were asked for",
                instead="ask for a shorter window; another can be opened when it is over",
            )

    def obtain(self, asked: Grant, considered: Assessment | None, sql: str) -> None:
        """Obtain every agreement.

        Args:
            sql: the statement as a second person may read it, "" for a window.

        Raises:
            SafeConsoleError: somebody did not give theirs.
        """
        cluster = asked.request.cluster
        if not self._people.confirmer.elevate(asked.request, considered):
            raise RefusedError(
                f"the elevation was not granted: the name typed is not {cluster}",
                instead="type the cluster's name at the question",
                remedies=(Remedy(Action.NAME_CLUSTER, of=cluster),),
            )
        if self._needs_second(asked.request, considered):
            self._have_approved(asked, considered, sql)
        try:
            self._tell_first(asked)
        except BaseException:
            self.give_back()
            raise
        if asked.request.scope is Scope.BREAK_GLASS:
            # What opens a window is used by that.
            self.spend()

    def spend(self) -> None:
        """Mark an approval as used: its statement is about to be sent."""
        self._taken = None

    def give_back(self) -> None:
        """Make an approval usable again after an attempt that sent nothing."""
        taken, self._taken = self._taken, None
        if taken is None or self._people.second is None:
            return
        with suppress(ConfigurationError):
            self._people.second.give_back(*taken)
            self._journal.append(Noticed(what="approval given back", detail=f"{taken[0].id}: nothing was sent"))

    def tell(self, grant: Grant, what: str, detail: str = "", *, concerns: tuple[str, ...] = ()) -> None:
        """Notify others about an elevation; never waits, never raises."""
        if self._people.notifier is not None:
            self._people.notifier.notify(self._notice(grant, what, detail, concerns=concerns))

    def settle(self) -> tuple[str, ...]:
        return self._people.notifier.settle() if self._people.notifier is not None else ()

    def _tell_first(self, asked: Grant) -> None:
        """Deliver the notice before the grant, if the policy requires that."""
        if not self._settings.notice_required:
            return
        notifier = self._people.notifier
        trouble = notifier.deliver(self._notice(asked, "about to be granted", "")) if notifier else "none is configured"
        if trouble:
            self._journal.append(Noticed(what="notice not delivered", detail=trouble), durable=True)
            raise RefusedError(
                f"the policy requires a notice first, and it was not delivered: {trouble}",
                instead="fix [notices] in the configuration, or its receiver",
            )

    def _notice(self, grant: Grant, what: str, detail: str, *, concerns: tuple[str, ...] = ()) -> Notice:
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
            concerns=concerns,
        )

    def _needs_second(self, request: ElevationRequest, considered: Assessment | None) -> bool:
        """Whether it needs a second person; a window covers every effect, so one that needs two is enough."""
        if self._agent:
            return True
        if request.scope is Scope.BREAK_GLASS or considered is None:
            return bool(self._settings.two_persons)
        return not considered.statement.effects.isdisjoint(self._settings.two_persons)

    def _have_approved(self, asked: Grant, considered: Assessment | None, sql: str) -> None:
        second = self._people.second
        if second is None:
            raise RefusedError("the policy requires a second person, and nobody can be asked here")
        person = self._visit.person
        if person.proof is NameProof.SUDO_USER and not second.holds_key_of(person.name):
            raise RefusedError(
                f"a second person cannot be told from the first: SUDO_USER says that {person.name} asks, which "
                f"whoever starts the console can set, and this account does not hold the key of {person.name}",
                instead="log in as yourself, so that the kernel knows who asks, or set approvals.key to your own key",
            )
        request = self._approval_request(asked, considered, sql, expires_epoch=second.expiry())
        if not is_portable(request):
            raise RefusedError("the statement is too long for a second person to read", instead="send it in parts")
        # Reuse an earlier approval only if the request has an exact text hash or is break-glass.
        told_apart = request.exact or request.scope == Scope.BREAK_GLASS
        earlier = second.earlier(request) if told_apart else None
        if earlier is not None:
            self._taken = earlier
            self._record_approved(asked, earlier[1], f"asked for as {earlier[0].id}")
            return
        if self._agent or not self._people.waits:
            self._leave_for_a_person(asked, request, second)
        try:
            approval = second.approve(request)
        except RefusedError:
            if not self._may_be_skipped(request, second.approvers(request.person)):
                raise
            self._record_skipped(asked, second.approvers(request.person))
            return
        self._taken = (request, approval) if told_apart else None
        self._record_approved(asked, approval)

    def _leave_for_a_person(self, asked: Grant, request: ApprovalRequest, second: SecondPerson) -> None:
        """Store a request for a person, and raise RefusedError until it is answered."""
        refusal = "the policy asks for two persons"
        if self._agent:
            refusal = f"an agent ({self._agent}) cannot elevate by itself"
        person = f"{request.person} runs it at a terminal"
        window = request.scope == Scope.BREAK_GLASS
        what = "this" if window else "exactly this statement"
        if not second.approvers(request.person):
            raise RefusedError(
                f"{refusal}, and no approver is configured",
                instead=f"{person}, or [approvals.approvers] names who may approve",
            )
        if not request.exact and not window:
            raise RefusedError(
                f"{refusal}, and a statement with a secret is not shown to a second person", instead=person
            )
        waiting = second.put_down(request)
        until = datetime.fromtimestamp(waiting.request.expires_epoch, UTC).strftime("%H:%M:%S UTC")
        command = f"safeconsole approve {waiting.code}"
        self._journal.append(Noticed(what="approval asked for", detail=waiting.request.id), durable=True)
        others = second.approvers(request.person)
        self.tell(asked, "waits for a person", f"until {until}: {command}", concerns=others)
        raise RefusedError(
            f"{refusal}; somebody else than {request.person} has to approve {what}",
            evidence=request.evidence,
            instead=f"{second.how(request.person, waiting)} before {until}; then run the same again",
            remedies=(Remedy(Action.BRING_APPROVAL),) if waiting.by_hand else (),
        )

    def _may_be_skipped(self, request: ApprovalRequest, skipped: tuple[str, ...]) -> bool:
        return (
            self._settings.approval_may_be_skipped
            and not self._visit.person.agent
            and bool(skipped)
            and self._people.confirmer.skip_approval(request, skipped)
        )

    def _record_approved(self, asked: Grant, approval: Approval, reason: str = "") -> None:
        """Record a second person's approval. Raises RefusedError: it may be the first person under another name."""
        login = self._visit.person.login
        if approval.approver.casefold() == login.casefold():
            raise RefusedError(
                f"the approval does not count: {login} is the account that asks",
                instead="somebody else has to approve it",
            )
        through = f"through {approval.through}" if approval.through else ""
        self._journal.append(
            Approved(
                statement=asked.request.statement,
                request=asked.id,
                approver=approval.approver,
                answer="approved",
                digest=asked.request.digest,
                key=approval.key,
                reason=": ".join(filter(None, (reason, through, approval.reason))),
            ),
            durable=True,
        )

    def _record_skipped(self, asked: Grant, skipped: tuple[str, ...]) -> None:
        names = ", ".join(skipped)
        self._journal.append(
            Approved(
                statement=asked.request.statement,
                request=asked.id,
                approver=names,
                answer="skipped",
                digest=asked.request.digest,
                reason=asked.request.reason,
            ),
            durable=True,
        )
        self.tell(asked, "approval skipped", f"not waited for {names}", concerns=skipped)

    def _approval_request(
        self, asked: Grant, considered: Assessment | None, sql: str, *, expires_epoch: int
    ) -> ApprovalRequest:
        request, person = asked.request, self._visit.person
        return ApprovalRequest(
            id=asked.id,
            cluster=request.cluster,
            environment=self._visit.environment,
            server=request.server,
            node=(considered.node or "") if considered and request.server else "",
            person=person.name,
            host=person.host,
            agent=person.agent,
            reason=request.reason,
            ticket=request.ticket,
            scope=request.scope,
            sql=sql if request.digest else "",
            digest=request.digest,
            exact=request.exact if considered and _is_shown_whole(considered.statement.text, sql) else "",
            schema=request.schema,
            evidence=considered.evidence if considered and request.digest else request.evidence,
            window_seconds=request.window_seconds,
            expires_epoch=expires_epoch,
            login=person.login,
        )


def _is_shown_whole(text: str, shown: str) -> bool:
    """Whether the text shown to a second person is complete; only comments without secrets may be missing."""
    return not hides_something(shown) and (shown == text.strip() or not may_hold_secret(text))
