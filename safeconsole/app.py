"""Builds settings, policies, engines and journals, and opens sessions for a person; only this file knows both sides."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from safeconsole import interrupts
from safeconsole.cli.application import Door, OpenSession
from safeconsole.cli.root import main
from safeconsole.clock import SystemClock
from safeconsole.cluster.engine import ProcessShare
from safeconsole.cluster.sharing import Shared
from safeconsole.config.identity import Person, demo_mark_of, who
from safeconsole.config.loading import governed_clusters, journal_directory, load_settings
from safeconsole.config.settings import VARIABLE_PREFIX, ClusterSettings, NoticeSettings, Settings, secret_variables
from safeconsole.errors import AuditUnavailableError, SafeConsoleError
from safeconsole.output.text import safe

if TYPE_CHECKING:
    # A prompt is drawn before any of these is imported: each is imported where it is needed.
    from safeconsole.approvals.notices import LocalNotices
    from safeconsole.approvals.requests import SecondPerson
    from safeconsole.audit.archive import LocalArchive
    from safeconsole.audit.recording import Recording
    from safeconsole.audit.review import LocalReviews
    from safeconsole.audit.shipping import SharedShipping
    from safeconsole.capacity.reports import ReportShelf
    from safeconsole.config.policies import PolicyFiles
    from safeconsole.mysql.engine import MySqlEngine
    from safeconsole.policy.policy import ElevationSettings
    from safeconsole.session.context import SessionContext
    from safeconsole.session.session import Session
    from safeconsole.sqlite.engine import SqliteEngine


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command line and return its exit code."""
    program = Program(dict(environ))
    _keep_from_children(name for name in environ if name.startswith(VARIABLE_PREFIX))
    return main(arguments, program)


class Program:
    """The objects of one process, built once and on demand; see `Application`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.clock = SystemClock()
        self.config: str | None = None
        self._settings: Settings | None = None
        self._lock = threading.Lock()
        self._shipping: SharedShipping | None = None
        self._clusters: Shared[MySqlEngine | SqliteEngine] = Shared()
        self.share = ProcessShare()

    @cached_property
    def policies(self) -> PolicyFiles:
        from safeconsole.config.policies import PolicyFiles

        return PolicyFiles()

    @cached_property
    def person(self) -> Person:
        return who(self.environ)

    def configure(self, path: str | None) -> None:
        self.config, self._settings, self._shipping = path, None, None

    def settings(self) -> Settings:
        if self._settings is None:
            self._settings = load_settings(self.config, self.environ)
            _keep_from_children(secret_variables(self._settings))
        return self._settings

    def audit_directory(self, person: Person) -> Path:
        return journal_directory(self.settings(), self.environ, login=person.login)

    def state_directory(self, person: Person) -> Path:
        return journal_directory(Settings(), self.environ, login=person.login).parent

    def history_directory(self, person: Person, cluster: str) -> str:
        """The directory of a person's histories; demos have their own, since they may use any cluster's name."""
        directory = self.state_directory(person) / "history"
        return str(directory / "demo" if self.settings().cluster(cluster).demo else directory)

    def archive(self) -> LocalArchive:
        from safeconsole.audit.archive import open_archive

        return open_archive(self.audit_directory(self.person), public_keys=self.settings().audit.public_keys)

    def reviews(self) -> LocalReviews:
        from safeconsole.audit.review import open_reviews

        person, signing_key = self.person, self.settings().audit.signing_key
        return open_reviews(self.audit_directory(person), by=person.name, clock=self.clock, signing_key=signing_key)

    def reports(self) -> ReportShelf:
        from safeconsole.capacity.shelf import open_shelf

        return open_shelf(self.state_directory(self.person) / "capacity", self.settings().capacity, self.environ)

    @contextmanager
    def open(self, door: Door) -> Iterator[OpenSession]:
        """Open a session for the person of the door; it is closed and its journal durable when the context ends."""
        cluster = self.settings().cluster(door.cluster).for_person(door.person.name)
        reason = "interrupted"
        # Left from the last to the first, each of them whatever becomes of the others.
        with ExitStack() as leaving:
            copies, recordings = ExitStack(), ExitStack()
            leaving.push(copies)
            # Who comes first opens the cluster for all sessions of the process, who leaves last closes it.
            use = self._clusters.used(door.cluster, cluster, lambda: self._engine(door.cluster, cluster))
            engine = leaving.enter_context(use)
            # Every session asks for this first; the network is waited for while all the rest is imported and opened.
            engine.expect(door.expects_to, door.schema)
            engine.measure_ahead()
            from safeconsole.audit.journal import open_journal
            from safeconsole.audit.keys import literal_key_for
            from safeconsole.policy.policy import capped, session_limits
            from safeconsole.session.context import People, opening_record
            from safeconsole.session.session import Session

            policy = capped(self.policies.load(cluster.policy), self.settings().limits)
            context = _context_of(door, cluster)
            # What is configured or asked for wrongly opens no session, so that every journal has an end.
            session_limits(policy, context.limits)
            second, notifier = self._second_person(policy.elevation, door), self._notices(door.person)
            people = People(confirmer=door.confirmer, second=second, notifier=notifier, waits=door.waits)
            reread = self.policies.rereading(cluster.policy, policy, self.settings().limits)
            directory, audit = self.audit_directory(door.person), self.settings().audit
            key, literal_key = audit.signing_key, literal_key_for(policy, audit.literal_key)
            # A session that is begun has an end on record.
            with interrupts.held():
                journal = open_journal(directory, clock=self.clock, signing_key=key, literal_key=literal_key)
                journal.append(opening_record(context, policy))
                session = Session(
                    context=context, policy=policy, engine=engine, journal=journal, clock=self.clock, people=people,
                    reread=reread,
                )  # fmt: skip
                leaving.callback(lambda: _close(session, reason))
                leaving.enter_context(interrupts.at_last(lambda: _close(session, reason)))
            leaving.push(recordings)
            self._ship(door.person, copies)
            try:
                yield OpenSession(
                    session=session,
                    rules=lambda: engine.rules,
                    flavour=cluster.assumed_flavour,
                    end_abandoned=engine.end_abandoned,
                    history_directory=self.history_directory(door.person, door.cluster),
                    record_terminal=lambda: self._recording(session, journal.session, recordings),
                )
            except SafeConsoleError:
                # A refusal, or the server's word: its person is told, and the session ended in order.
                reason = ""
                raise
            reason = ""

    def _engine(self, name: str, cluster: ClusterSettings) -> MySqlEngine | SqliteEngine:
        # Imported here: a driver that the moment does not need costs every start its import.
        if cluster.engine == "sqlite":
            from safeconsole.sqlite.engine import open_engine as open_files

            return open_files(name, cluster, self.clock)
        from safeconsole.config.secrets import LocalSecrets
        from safeconsole.mysql.engine import open_engine

        secrets, state = LocalSecrets({name: cluster}, self.environ), self.state_directory(self.person)
        return open_engine(name, cluster, secrets, self.clock, state=state, share=self.share)

    def _recording(self, session: Session, name: str, recordings: ExitStack) -> Recording | None:
        from shutil import get_terminal_size

        from safeconsole.audit.recording import open_recording

        directory, settings = self.audit_directory(session.context.person), self.settings().audit.recordings
        recording = open_recording(directory, name, clock=self.clock, size=get_terminal_size(), settings=settings)
        if recording is None:
            session.note("terminal not recorded", f"there is no room for it in {directory}")
        else:
            recordings.callback(lambda: _note_recorded(session, recording))
        return recording

    def _ship(self, person: Person, copies: ExitStack) -> None:
        if not self.settings().audit.sinks:
            return
        from safeconsole.audit.shipping import SharedShipping

        with self._lock:
            self._shipping = self._shipping or SharedShipping(self.settings().audit, self.environ)
        copies.enter_context(self._shipping.running(self.audit_directory(person)))

    def _notices(self, person: Person) -> LocalNotices | None:
        settings = self.settings().notices
        if settings == NoticeSettings():
            return None
        from safeconsole.approvals.notices import open_notices

        return open_notices(self.audit_directory(person), settings, self.environ)

    def _second_person(self, elevation: ElevationSettings, door: Door) -> SecondPerson | None:
        if not (elevation.two_persons or door.person.agent):
            return None
        from safeconsole.approvals.carrying import LocalApprovals
        from safeconsole.approvals.waiting import WaitingRequests, mailbox_of

        settings, asked = self.settings().approvals, door.confirmer
        box = mailbox_of(settings, self.environ)
        waiting = WaitingRequests(self.audit_directory(door.person), settings, given=door.approval, mailbox=box)
        show = asked.show_approval
        return LocalApprovals(settings, ask=asked.paste_approval, show=show, waiting=waiting, mailbox=box)


def _keep_from_children(names: Iterable[str]) -> None:
    """Remove secrets from the environment that child programs inherit; the program has its own copy."""
    for name in names:
        os.environ.pop(name, None)


def _context_of(door: Door, cluster: ClusterSettings) -> SessionContext:
    from safeconsole.session.context import SessionContext

    return SessionContext(
        cluster=door.cluster, environment=cluster.environment, face=door.face, person=door.person, to=door.to,
        schema=door.schema or cluster.schema, limits=door.limits, justification=door.justification,
        governed=door.cluster in governed_clusters(), demo=demo_mark_of(cluster.demo),
        diagnoses=bool(cluster.accounts.diagnose),
    )  # fmt: skip


def _close(session: Session, reason: str) -> None:
    """End a session, and tell its person what they should know."""
    with interrupts.held():
        for trouble in session.close(interrupts.told_words() or reason):
            sys.stderr.write(f"safeconsole: {safe(trouble)}\n")


def _note_recorded(session: Session, recording: Recording) -> None:
    from safeconsole.audit.record import TERMINAL_RECORDED

    with suppress(AuditUnavailableError):
        session.note(TERMINAL_RECORDED, recording.close())
