"""What the commands need from the rest of the program; `app.py` provides it, tests may provide their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import msgspec

from safeconsole import errors
from safeconsole.output.text import stream_style

if TYPE_CHECKING:
    # Named here only: what one command needs must not be imported for every other one.
    from safeconsole.approvals.requests import ApprovalRequest
    from safeconsole.audit.recording import TerminalRecording
    from safeconsole.audit.review import ReviewBook
    from safeconsole.audit.search import Archive
    from safeconsole.capacity.reports import ReportShelf
    from safeconsole.cli.policy import PolicySource
    from safeconsole.config.settings import ClusterSettings, Settings
    from safeconsole.output.evidence import Words
    from safeconsole.policy.decision import Considered
    from safeconsole.policy.policy import Policy
    from safeconsole.session.gate import Gate
    from safeconsole.session.protocols import Confirmer
    from safeconsole.session.visit import Plea, Status
    from safeconsole.sqltext.lexer import LexicalRules
    from safeconsole.sqltext.statement import Statement


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """How a session is opened.

    Attributes:
        face: "sql", "one-shot", "python", "job".
        to, schema, limits, plea: see `Visit`.
        approval: a second person's answer, or "".
    """

    cluster: str
    face: str
    confirmer: Confirmer
    to: str = ""
    schema: str = ""
    limits: Mapping[str, float] = msgspec.field(default_factory=dict)
    plea: Plea | None = None
    approval: str = ""


class OpenSession(msgspec.Struct, frozen=True, kw_only=True):
    """An open session.

    Attributes:
        rules: how the cluster's servers read text; asks them on the first call.
        preview: what would be decided, without asking any server.
        history_directory: the directory of this person's histories.
        record_terminal: begins the session's recording, or returns None.
    """

    gate: Gate
    rules: Callable[[], LexicalRules]
    preview: Callable[[Statement], Considered]
    history_directory: str
    record_terminal: Callable[[], TerminalRecording | None] = lambda: None


class Judge(msgspec.Struct, frozen=True, kw_only=True):
    """Decides offline, for `check`."""

    rules: LexicalRules
    consider: Callable[[Statement], Considered]
    policy: Policy


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A temporary cluster, and the path of a configuration that names it."""

    config: str
    cluster: str
    nodes: tuple[str, ...]


class Application(Protocol):
    """The program, as its commands see it."""

    @property
    def environ(self) -> Mapping[str, str]: ...

    @property
    def policies(self) -> PolicySource: ...

    def settings(self) -> Settings:
        """The configuration in force. Raises ConfigurationError."""
        ...

    def configure(self, path: str | None) -> None: ...

    def add_cluster(self, name: str, cluster: ClusterSettings) -> str:
        """Add a cluster to the person's configuration file, and return the file. Raises ConfigurationError."""
        ...

    def archive(self) -> Archive: ...

    def reviews(self) -> ReviewBook: ...

    def reports(self) -> ReportShelf:
        """The capacity reports of this computer, or those that the team shares. Raises ConfigurationError."""
        ...

    def open(self, door: Door) -> AbstractContextManager[OpenSession]:
        """Open a session.

        Raises:
            ConfigurationError: no such cluster, or an invalid configuration of it.
            AuditUnavailableError: the journal cannot be written.
        """
        ...

    def standing(self, door: Door) -> Status:
        """Return what a prompt shows before the session is open. Raises ConfigurationError: no such cluster."""
        ...

    def history_directory(self, cluster: str) -> str: ...

    def judge(self, *, cluster: str, engine: str, policy: str, to: str, sql_mode: str = "") -> Judge:
        """Return an offline judge; opens no connection. Raises ConfigurationError, PolicyInvalidError."""
        ...

    def stage(self, engine: str, release: str = "") -> AbstractContextManager[Stage]:
        """Start a temporary cluster: "embedded", "mariadb" or "mysql". Raises ConfigurationError."""
        ...

    def new_approval_key(self, where: str) -> str:
        """Create this account's approval key in a file or the keyring; returns its public key."""
        ...

    def approval_request(self, code: str) -> str:
        """Return the text of a request, by its code or its name in the shared directory. Raises ConfigurationError."""
        ...

    def waiting_approvals(self) -> tuple[tuple[str, ApprovalRequest], ...]:
        """Return the requests in the shared directory that wait, by name. Raises ConfigurationError."""
        ...

    def sign_approval(self, request: ApprovalRequest) -> str:
        """Return this person's signed answer. Raises RefusedError, ConfigurationError."""
        ...

    def set_password(self, cluster: str, account: str, password: str) -> None:
        """Store a password in the keyring. Raises ConfigurationError."""
        ...

    def kept_passwords(self) -> Iterable[tuple[str, str]]:
        """Return cluster and account of the stored passwords, never the passwords."""
        ...

    def delete_password(self, cluster: str, account: str) -> None:
        """Delete a password from the keyring. Raises ConfigurationError."""
        ...


EXIT_CODES: Mapping[type[errors.SafeConsoleError], int] = {
    errors.ServerError: 1,
    errors.ConfigurationError: 2,
    errors.PolicyInvalidError: 2,
    errors.NotSentError: 3,
    errors.DeniedError: 4,
    errors.StoppedError: 5,
    errors.OutcomeUnknownError: 6,
    errors.AuditUnavailableError: 7,
    errors.NotRecordedError: 7,
    errors.NoFitNodeError: 8,
}
"""The exit code of each kind of failure; a kind that is not listed has its parent's."""


def exit_code_of(error: errors.SafeConsoleError) -> int:
    """Return the exit code that a failure ends a command with."""
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), 2)


def told_failure(error: errors.SafeConsoleError, environ: Mapping[str, str], *, words: Words | None = None) -> int:
    """Write a failure to standard error after the rows that came before it, and return its exit code."""
    # Imported for what went wrong; a prompt does not wait for it.
    from safeconsole.output.evidence import error_text, no_words

    try:
        sys.stdout.flush()
    except OSError:
        forget_output()
    sys.stderr.write(error_text(error, stream_style(sys.stderr, environ), words=words or no_words))
    return exit_code_of(error)


def forget_output() -> None:
    """Let what could not be written go nowhere: Python would try again at exit, and complain."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        # Not a file of the system: a test's, which nobody flushes at exit.
        return
