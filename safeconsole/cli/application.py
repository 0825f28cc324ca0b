"""The interface between commands and the rest of the program; `app.py` implements it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import msgspec

from safeconsole import errors
from safeconsole.output.text import stream_style

if TYPE_CHECKING:
    # Named here only: what one command needs must not be imported for every other one.
    from pathlib import Path

    from safeconsole.audit.archive import LocalArchive
    from safeconsole.audit.recording import Recording
    from safeconsole.audit.review import LocalReviews
    from safeconsole.capacity.reports import ReportShelf
    from safeconsole.clock import Clock
    from safeconsole.cluster.engine import ProcessShare
    from safeconsole.config.identity import Person
    from safeconsole.config.policies import PolicyFiles
    from safeconsole.config.settings import Settings
    from safeconsole.output.evidence import Words
    from safeconsole.policy.decision import Assessment
    from safeconsole.session.context import Confirmer, Justification
    from safeconsole.session.session import Session
    from safeconsole.sqltext.lexer import LexicalRules
    from safeconsole.sqltext.statement import Statement
    from safeconsole.sqltext.vocabulary import Flavour


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """How a session is opened.

    Attributes:
        face: "sql", "one-shot", "python", "job".
        to, schema, limits, justification: see `SessionContext`.
        approval: a second person's answer, or "".
        waits: see `People`.
        asks_at_once: whether a statement follows at once, so that a connection for it is opened beside the measuring.
    """

    cluster: str
    person: Person
    face: str
    confirmer: Confirmer
    to: str = ""
    schema: str = ""
    limits: Mapping[str, float] = msgspec.field(default_factory=dict)
    justification: Justification | None = None
    approval: str = ""
    waits: bool = True
    asks_at_once: bool = False

    @property
    def expects_to(self) -> str | None:
        """Where what is asked at once will probably go: what is elevated goes to the primary, and is planned there."""
        return (self.to or ("primary" if self.justification is not None else "")) if self.asks_at_once else None


class OpenSession(msgspec.Struct, frozen=True, kw_only=True):
    """An open session.

    Attributes:
        rules: how the cluster's servers read text; asks them on the first call.
        flavour: the family member that texts are judged for while no server was asked.
        history_directory: the directory of this person's histories.
        end_abandoned: as of `Engine`.
        record_terminal: begins the session's recording, or returns None.
    """

    session: Session
    rules: Callable[[], LexicalRules]
    flavour: Flavour
    history_directory: str
    end_abandoned: Callable[[str], Sequence[tuple[str, str]]] = lambda _: ()
    record_terminal: Callable[[], Recording | None] = lambda: None

    def preview(self, statement: Statement) -> Assessment:
        """Return the decision on a statement as the session stands, without asking any server."""
        from safeconsole.session.context import circumstances_of
        from safeconsole.session.deciding import preview

        session, circumstances = self.session, circumstances_of(self.session.context, flavour=self.flavour)
        return preview(
            statement,
            policy=session.policy,
            circumstances=circumstances,
            rules=self.rules,
            to=session.to,
            limits=session.limits,
        )


class Application(Protocol):
    """The program, as its commands see it."""

    @property
    def environ(self) -> Mapping[str, str]: ...

    @property
    def config(self) -> str | None:
        """The configuration file named by `--config`, or None."""
        ...

    @property
    def clock(self) -> Clock: ...

    share: ProcessShare
    """Set before the first session is opened, where several processes serve together."""

    @property
    def person(self) -> Person:
        """Who started the process; sessions are opened for the person of their `Door`."""
        ...

    @property
    def policies(self) -> PolicyFiles: ...

    def settings(self) -> Settings:
        """The configuration in force. Raises ConfigurationError."""
        ...

    def configure(self, path: str | None) -> None:
        """Read the configuration from this file from now on."""
        ...

    def audit_directory(self, person: Person) -> Path:
        """Where a person's journals are. Raises ConfigurationError."""
        ...

    def state_directory(self, person: Person) -> Path:
        """Where a person's histories and reports are."""
        ...

    def history_directory(self, person: Person, cluster: str) -> str: ...

    def archive(self) -> LocalArchive: ...

    def reviews(self) -> LocalReviews: ...

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


def told_failure(
    error: errors.SafeConsoleError, environ: Mapping[str, str], *, words: Words | None = None, more: str = ""
) -> int:
    """Write a failure to standard error after the rows that came before it, and return its exit code."""
    # Imported for what went wrong; a prompt does not wait for it.
    from safeconsole.output.evidence import error_text, no_words

    try:
        sys.stdout.flush()
    except OSError:
        forget_output()
    sys.stderr.write(error_text(error, stream_style(sys.stderr, environ), words=words or no_words, more=more))
    return exit_code_of(error)


def forget_output() -> None:
    """Discard unwritten output: Python would retry at exit and print an error."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        # Not a file of the system: a test's, which nobody flushes at exit.
        return
