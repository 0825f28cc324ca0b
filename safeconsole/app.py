"""Builds clock, secrets, journal, engine, gate and one face; the only file that sees both sides."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from safeconsole import __version__
from safeconsole.cli.application import Door, Judge, OpenSession, Stage
from safeconsole.cli.root import main
from safeconsole.clock import SystemClock
from safeconsole.config.identity import NO_TERMINAL, Person, demo_mark_of, who
from safeconsole.config.loading import governed_clusters, journal_directory, load_settings
from safeconsole.config.secrets import VARIABLE_PREFIX
from safeconsole.config.settings import ClusterSettings, NoticeSettings, Settings
from safeconsole.errors import AuditUnavailableError, ConfigurationError, RefusedError
from safeconsole.output.text import safe
from safeconsole.sqltext.vocabulary import Flavour

if TYPE_CHECKING:
    # A prompt stands before any of these is imported: each is where it is needed.
    from safeconsole.approvals.notices import LocalNotices
    from safeconsole.approvals.requests import ApprovalRequest, SecondPerson
    from safeconsole.audit.journal import FileJournal
    from safeconsole.audit.record import SessionOpened
    from safeconsole.audit.recording import Recording
    from safeconsole.audit.retention import JournalKeeping
    from safeconsole.audit.review import ReviewBook
    from safeconsole.audit.search import Archive
    from safeconsole.capacity.reports import ReportShelf
    from safeconsole.cluster.engine import Sensor
    from safeconsole.config.policies import PolicyFiles
    from safeconsole.mysql.engine import MySqlEngine
    from safeconsole.policy.decision import Considered
    from safeconsole.policy.policy import ElevationSettings, Policy
    from safeconsole.session.gate import Gate
    from safeconsole.session.visit import Status, Visit
    from safeconsole.sqlite.engine import SqliteEngine
    from safeconsole.sqltext.statement import Statement
    from safeconsole.sqltext.vocabulary import NodeName

"""How texts are read when no server says its version: as the releases that most of the facts were measured on."""


SHIPPING_SECONDS = 2.0
"""How long leaving waits for the last pass of copies to the sinks."""

COMBINED_MODES = frozenset({"ANSI", "DB2", "MAXDB", "MSSQL", "ORACLE", "POSTGRESQL"})
"""Words of sql_mode that stand for ANSI_QUOTES and PIPES_AS_CONCAT too. Source: MariaDB documentation, "SQL_MODE"."""


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command line and return its exit code."""
    program = Program(dict(environ))
    _keep_from_children(name for name in environ if name.startswith(VARIABLE_PREFIX))
    return main(arguments, program)


class Program:
    """The whole program, built as far as a command asks for it; see `shells.cli.application`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self._config: str | None = None
        self._settings: Settings | None = None
        self._clock = SystemClock()

    @cached_property
    def policies(self) -> PolicyFiles:
        """Where policies come from."""
        from safeconsole.config.policies import PolicyFiles

        return PolicyFiles()

    @cached_property
    def person(self) -> Person:
        """Who asks."""
        return who(self.environ)

    def configure(self, path: str | None) -> None:
        """Read the configuration from this file from now on."""
        self._config, self._settings = path, None

    def settings(self) -> Settings:
        """The configuration in force."""
        if self._settings is None:
            self._settings = load_settings(self._config, self.environ)
            sinks = self._settings.audit.sinks.values()
            others = (self._settings.notices.secret_variable, self._settings.capacity.secret_variable)
            _keep_from_children([*others, *(sink.secret_variable for sink in sinks)])
        return self._settings

    def add_cluster(self, name: str, cluster: ClusterSettings) -> str:
        """Add a cluster to the person's configuration file."""
        from safeconsole.config.writing import add_cluster

        return str(add_cluster(self._config, self.environ, name, cluster))

    def archive(self) -> Archive:
        """The journals of this computer."""
        from safeconsole.audit.search import open_archive

        return open_archive(self._audit_directory(), public_keys=self.settings().audit.public_keys)

    def reviews(self) -> ReviewBook:
        """The review book of this computer's journals."""
        from safeconsole.audit.review import open_reviews

        return open_reviews(
            self._audit_directory(),
            by=self.person.name,
            clock=self._clock,
            signing_key=self.settings().audit.signing_key,
        )

    def keeping(self) -> JournalKeeping:
        """How the journals of this computer are kept."""
        from safeconsole.audit.retention import JournalKeeping

        return JournalKeeping(self._audit_directory(), self.settings().audit, self.environ, self._clock)

    def reports(self) -> ReportShelf:
        """The capacity reports of this computer, or the team's."""
        from safeconsole.capacity.shelf import FileShelf

        here, settings = FileShelf(self._state_directory() / "capacity"), self.settings().capacity
        if not settings.reports:
            return here
        # Imported here: only who shares their reports pays for it.
        from safeconsole.capacity.shared_shelf import open_shared_shelf

        return open_shared_shelf(settings, here, self.environ)

    @contextmanager
    def open(self, door: Door) -> Iterator[OpenSession]:
        """Open a session; it is closed and its journal durable when the context ends."""
        from safeconsole.policy.policy import session_limits
        from safeconsole.session.gate import Gate
        from safeconsole.session.protocols import People
        from safeconsole.session.visit import Visit

        cluster, policy = self._cluster(door.cluster), self._policy(door.cluster)
        visit = Visit(
            cluster=door.cluster,
            environment=cluster.environment,
            face=door.face,
            person=self.person,
            to=door.to,
            schema=door.schema or cluster.schema,
            limits=door.limits,
            plea=door.plea,
            governed=door.cluster in governed_clusters(),
            demo=demo_mark_of(cluster.demo),
        )
        # What is configured or asked for wrongly opens no session, so that every journal has an end.
        session_limits(policy, visit.limits)
        people = People(
            confirmer=door.confirmer, second=self._second_person(policy.elevation, door), notifier=self._notices()
        )
        # Left from the last to the first, each of them whatever becomes of the others.
        with ExitStack() as leaving:
            copies, recordings = ExitStack(), ExitStack()
            leaving.push(copies)
            engine = self._engine(door.cluster, cluster)
            leaving.callback(engine.close)
            journal = self._journal(policy)
            journal.append(self._opened(visit, policy))
            gate = Gate(
                visit=visit,
                policy=policy,
                engine=engine,
                journal=journal,
                clock=self._clock,
                people=people,
                reread=self._rereading(cluster.policy, policy),
            )
            reason = "interrupted"
            leaving.callback(lambda: _close(gate, reason))
            leaving.push(recordings)
            self._ship(copies)
            yield OpenSession(
                gate=gate,
                rules=lambda: engine.rules,
                preview=self._preview_of(gate, cluster),
                history_directory=self.history_directory(door.cluster),
                record_terminal=lambda: self._recording(gate, journal.session, recordings),
            )
            reason = ""

    def standing(self, door: Door) -> Status:
        """What a prompt shows before the session is open."""
        from safeconsole.policy.limits import Limits
        from safeconsole.session.visit import Status

        cluster = self._cluster(door.cluster)
        return Status(
            cluster=door.cluster,
            environment=cluster.environment,
            node="",
            role="",
            schema=door.schema or cluster.schema,
            elevated_seconds=0.0,
            limits=Limits(),
            to=door.to,
        )

    def history_directory(self, cluster: str) -> str:
        """Where this person's histories are kept; a demo's, which may have any cluster's name, apart from the rest."""
        directory = self._state_directory() / "history"
        return str(directory / "demo" if self._cluster(cluster).demo else directory)

    def judge(self, *, cluster: str, engine: str, policy: str, to: str, sql_mode: str = "") -> Judge:
        """Return what decides offline; opens no connection."""
        from safeconsole.dialects import DIALECTS
        from safeconsole.policy.policy import capped
        from safeconsole.session.deciding import preview
        from safeconsole.session.visit import Visit, circumstances_of
        from safeconsole.sqltext.lexer import LexicalRules

        settings = self._cluster(cluster) if cluster else None
        flavour = Flavour(engine) if engine else _known_flavour(settings) if settings else Flavour.MYSQL
        rules = self.policies.load(policy or (settings.policy if settings else "baseline"))
        if settings:
            rules = capped(rules, self.settings().limits)
        modes = frozenset(word.strip().upper() for word in sql_mode.split(",") if word.strip())
        visit = Visit(
            cluster=cluster,
            environment=settings.environment if settings else "",
            face="check",
            person=self.person,
        )
        circumstances = circumstances_of(visit, flavour=flavour)

        def consider(statement: Statement) -> Considered:
            return preview(statement, policy=rules, circumstances=circumstances, to=to)

        return Judge(
            rules=LexicalRules(
                dialect=DIALECTS[flavour],
                version=DIALECTS[flavour].assumed_version,
                ansi_quotes=not modes.isdisjoint({"ANSI_QUOTES", *COMBINED_MODES}),
                no_backslash_escapes="NO_BACKSLASH_ESCAPES" in modes,
                pipes_as_concat=not modes.isdisjoint({"PIPES_AS_CONCAT", *COMBINED_MODES}),
                oracle="ORACLE" in modes,
            ),
            consider=consider,
            policy=rules,
        )

    @contextmanager
    def stage(self, engine: str, release: str = "") -> Iterator[Stage]:
        """Put up a cluster to try the console on, and take it down when the context ends."""
        from safeconsole.demo.binaries import ServersUnavailableError
        from safeconsole.demo.daemon import ServerStartError
        from safeconsole.demo.stage import CLUSTER, ENGINES, staged

        known = next((each for each in ENGINES if each == engine), None)
        if known is None:
            raise ConfigurationError(f"there is no demo on {engine}", instead=f"one of {', '.join(ENGINES)}")
        try:
            with staged(known, release) as up:
                yield Stage(config=str(up.config), cluster=CLUSTER, nodes=up.nodes)
        except ServersUnavailableError as error:
            raise ConfigurationError(
                f"no {engine} server on this machine: {error.reason}", instead=error.how_to_get
            ) from error
        except ServerStartError as error:
            raise ConfigurationError(f"the demo's servers did not come up: {error}") from error

    def new_approval_key(self, where: str) -> str:
        """Make this account's approval key, and return its public half."""
        from safeconsole.approvals.carrying import KEYRING_ACCOUNT
        from safeconsole.audit.signing import new_key

        return new_key(where, account=KEYRING_ACCOUNT)

    def approval_request(self, code: str) -> str:
        """Return the text of a request."""
        from safeconsole.approvals.carrying import request_text

        return request_text(code, self.settings().approvals)

    def waiting_approvals(self) -> tuple[tuple[str, ApprovalRequest], ...]:
        """Return the requests in the shared directory that nobody answered."""
        from safeconsole.approvals.carrying import waiting_requests

        return waiting_requests(self.settings().approvals)

    def sign_approval(self, request: ApprovalRequest) -> str:
        """Return this person's signed answer."""
        from safeconsole.approvals.carrying import sign

        if self.person.agent not in {"", NO_TERMINAL}:
            raise RefusedError(
                f"an agent ({self.person.agent}) is nobody's second person", instead="a person approves it"
            )
        return sign(request, self.settings().approvals, approver=self.person.name)

    def set_password(self, cluster: str, account: str, password: str) -> None:
        """Keep a password in the keyring."""
        from safeconsole.config.credentials import set_credential

        set_credential(cluster, account, password)

    def kept_passwords(self) -> Iterable[tuple[str, str]]:
        """Cluster and account of each password in the keyring."""
        from safeconsole.config.credentials import list_credentials

        return [(credential.cluster, credential.account) for credential in list_credentials()]

    def delete_password(self, cluster: str, account: str) -> None:
        """Take a password out of the keyring."""
        from safeconsole.config.credentials import delete_credential

        delete_credential(cluster, account)

    def _cluster(self, name: str) -> ClusterSettings:
        clusters = self.settings().clusters
        if name not in clusters:
            known = ", ".join(sorted(clusters)) or "none; see the README, or try `safeconsole demo`"
            raise ConfigurationError(
                f"cluster {name} is not in the configuration", instead=f"configured clusters: {known}"
            )
        return clusters[name]

    def _policy(self, cluster: str) -> Policy:
        from safeconsole.policy.policy import capped

        return capped(self.policies.load(self._cluster(cluster).policy), self.settings().limits)

    def _rereading(self, name: str, policy: Policy) -> Callable[[], Policy]:
        from safeconsole.policy.policy import capped

        look = self.policies.rereading(name, policy)

        def look_again() -> Policy:
            found = look()
            return policy if found.hash == policy.hash else capped(found, self.settings().limits)

        return look_again

    def _engine(self, name: str, cluster: ClusterSettings) -> MySqlEngine | SqliteEngine:
        # Imported here: a driver that the moment does not need costs every start its import.
        if cluster.engine == "sqlite":
            from safeconsole.sqlite.engine import open_engine as open_files

            return open_files(name, cluster, self._clock)
        from safeconsole.config.secrets import LocalSecrets
        from safeconsole.mysql.engine import open_engine

        secrets = LocalSecrets(self.settings(), self.environ)
        beforehand, while_running = _host_memory(name, cluster)
        engine = open_engine(name, cluster, secrets, self._clock, free_memory=beforehand, running_memory=while_running)
        # Every session asks for this first; the network is waited for while policy and journal are opened.
        engine.measure_ahead()
        return engine

    def _journal(self, policy: Policy) -> FileJournal:
        from safeconsole.audit.journal import open_journal
        from safeconsole.audit.keys import literal_key_for

        audit = self.settings().audit
        return open_journal(
            self._audit_directory(),
            clock=self._clock,
            signing_key=audit.signing_key,
            literal_key=literal_key_for(policy, audit.literal_key),
        )

    def _preview_of(self, gate: Gate, cluster: ClusterSettings) -> Callable[[Statement], Considered]:
        """Return what judges a statement without a server, as the session stands."""
        from safeconsole.session.deciding import preview
        from safeconsole.session.visit import circumstances_of

        circumstances = circumstances_of(gate.visit, flavour=_known_flavour(cluster))
        return lambda statement: preview(
            statement, policy=gate.policy, circumstances=circumstances, to=gate.to, limits=gate.limits
        )

    def _recording(self, gate: Gate, session: str, recordings: ExitStack) -> Recording | None:
        from shutil import get_terminal_size

        from safeconsole.audit.recording import open_recording

        recording = open_recording(
            self._audit_directory(),
            session,
            clock=self._clock,
            size=get_terminal_size(),
            settings=self.settings().audit.recordings,
        )
        if recording is None:
            gate.note("terminal not recorded", f"there is no room for it in {self._audit_directory()}")
        else:
            recordings.callback(lambda: _note_recorded(gate, recording))
        return recording

    def _ship(self, copies: ExitStack) -> None:
        """Begin to send copies to the sinks, where there are any, until they are left."""
        if not self.settings().audit.sinks:
            return
        from safeconsole.audit.shipping import Shipping, open_shipper

        shipper = open_shipper(self._audit_directory(), self.settings().audit, self.environ)
        if shipper is not None:
            shipping = Shipping(shipper)
            # What is not taken now stays in the journal's files, and the next session sends it.
            copies.callback(shipping.stop, SHIPPING_SECONDS)
            shipping.start()

    def _notices(self) -> LocalNotices | None:
        settings = self.settings().notices
        if settings == NoticeSettings():
            return None
        from safeconsole.approvals.notices import open_notices

        return open_notices(self._audit_directory(), settings, self.environ)

    def _second_person(self, elevation: ElevationSettings, door: Door) -> SecondPerson | None:
        if not (elevation.two_persons or self.person.agent):
            return None
        from safeconsole.approvals.late import LateApprovals

        asked = door.confirmer
        return LateApprovals(
            self._audit_directory(),
            self.settings().approvals,
            given=door.approval,
            ask=asked.paste_approval,
            show=asked.show_approval,
        )

    def _audit_directory(self) -> Path:
        return journal_directory(self.settings(), self.environ, login=self.person.login)

    def _state_directory(self) -> Path:
        return journal_directory(Settings(), self.environ, login=self.person.login).parent

    def _opened(self, visit: Visit, policy: Policy) -> SessionOpened:
        from safeconsole.audit.record import SessionOpened

        person = visit.person
        return SessionOpened(
            person=person.name,
            login=person.login,
            groups=person.groups,
            host=person.host,
            origin=person.origin,
            agent=person.agent,
            face=visit.face,
            cluster=visit.cluster,
            environment=visit.environment,
            policy=policy.name,
            policy_hash=policy.hash,
            program=f"safeconsole {__version__}, Python {sys.version_info.major}.{sys.version_info.minor}",
        )


def _keep_from_children(names: Iterable[str]) -> None:
    """Take secrets out of what editors, pagers and secret commands inherit; the program has its own copy."""
    for name in names:
        os.environ.pop(name, None)


def _close(gate: Gate, reason: str) -> None:
    """End a session, and tell what its person should know of the end."""
    for trouble in gate.close(reason):
        sys.stderr.write(f"safeconsole: {safe(trouble)}\n")


def _note_recorded(gate: Gate, recording: Recording) -> None:
    from safeconsole.audit.record import TERMINAL_RECORDED

    digest = recording.close()
    with suppress(AuditUnavailableError):
        gate.note(TERMINAL_RECORDED, digest)


def _host_memory(name: str, cluster: ClusterSettings) -> tuple[Mapping[NodeName, Sensor], Mapping[NodeName, Sensor]]:
    """Return the sources of the hosts' free memory: those asked before, and those asked while a statement runs."""
    if not cluster.free_memory:
        return {}, {}
    from safeconsole.cluster.host_memory import host_sources

    sources = host_sources(name, cluster)
    return sources.beforehand, sources.while_running


def _known_flavour(cluster: ClusterSettings) -> Flavour:
    """Return the configured family member; where it is found out later, MySQL stands in for a preview."""
    return Flavour.MYSQL if cluster.engine == "auto" else Flavour(cluster.engine)
