"""
One tree of errors, named by what happened to the data.

Messages are lower case, without a full stop, and name the server and the ceiling.
`exit_code` is the contract of the command line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar


class SafeConsoleError(Exception):
    """
    Anything that safeconsole says no with.

    Args:
        message: one line, for the person.
        evidence: readings or facts behind it, one line each.
        instead: the next step that the person can take, or "".

    Attributes:
        leaving: the person asked again while it was being stopped: the face shows this, and leaves.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, evidence: tuple[str, ...] = (), instead: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.evidence = evidence
        self.instead = instead
        self.leaving = False

    def reword(self, said: Callable[[str], str]) -> None:
        """Change what it says, and forget the error behind it, which says the same in other words."""
        self.message = said(self.message)
        self.args = (self.message,)
        self.__cause__ = self.__context__ = None


class ConfigurationError(SafeConsoleError):
    """The configuration, a name or an option is wrong; nothing was sent."""


class RefusedError(SafeConsoleError):
    """Nothing was sent: the statement needs a confirmation or an elevation."""

    exit_code = 3


class DeniedError(RefusedError):
    """Nothing was sent, and no elevation would change that."""

    exit_code = 4


class PolicyInvalidError(RefusedError):
    """The policy cannot be read or evaluated; nothing was sent."""

    exit_code = 2


class AuditUnavailableError(RefusedError):
    """The record could not be made durable; nothing was sent."""

    exit_code = 7


class NoFitNodeError(RefusedError):
    """No node is proven and fit for the statement; nothing was sent."""

    exit_code = 8


class UnreachableError(NoFitNodeError):
    """A node could not be connected to, or refused its guards; nothing was sent."""


class ServerError(SafeConsoleError):
    """
    The server answered with an error of its own; the statement had no effect beyond it.

    Args:
        code: the server's error number, 0 when it gave none.
        server_message: the server's text; the road takes quoted secrets out of it.
    """

    exit_code = 1

    def __init__(self, code: int, server_message: str, *, instead: str = "") -> None:
        super().__init__(f"the server says: {server_message} ({code})", instead=instead)
        self.code = code
        self.server_message = server_message

    def reword(self, said: Callable[[str], str]) -> None:
        """Change what it says, the server's own text included."""
        super().reword(said)
        self.server_message = said(self.server_message)


class StoppedError(SafeConsoleError):
    """
    Sent, then cut off; known to be over on the server unless `verified` says otherwise.

    Args:
        by: "person", "watchdog", "server" or "console".
        ceiling: the limit that fired ("run_seconds", "memory_bytes", …), or "" for a person.
        verified: what the process list said afterwards: "killed", "already over", "missed", "unreachable".
    """

    exit_code = 5

    def __init__(
        self,
        message: str,
        *,
        by: str,
        ceiling: str = "",
        verified: str = "",
        evidence: tuple[str, ...] = (),
        instead: str = "",
    ) -> None:
        super().__init__(message, evidence=evidence, instead=instead)
        self.by = by
        self.ceiling = ceiling
        self.verified = verified


class LostError(StoppedError):
    """A read's connection was lost while it ran; whatever of it still runs on the server changes nothing there."""


class OutcomeUnknownError(SafeConsoleError):
    """Sent, then the connection was lost; it may or may not have run. Never sent again by us."""

    exit_code = 6
