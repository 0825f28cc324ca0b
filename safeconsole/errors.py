"""
One tree of errors, told by what happened to the data: not sent, stopped, unknown, or the server's own error.

Messages are lower case, without a full stop, and name the server and the limit. An error never changes after it was
made. What only a face knows how to type (`--to NODE`, `with elevate(...)`) is a `Remedy`, and the face words it; exit
codes and SQLSTATEs belong to the faces too.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple, Self, TypedDict, TypeVar, Unpack

_SET_BY_PYTHON = frozenset({"__traceback__", "__cause__", "__context__", "__suppress_context__", "__notes__"})


class Action(StrEnum):
    """A next step that each face words in its own commands."""

    ELEVATE = "elevate"
    CONFIRM = "confirm"
    GET_APPROVAL = "get-approval"
    BRING_APPROVAL = "bring-approval"
    GIVE_TICKET = "give-ticket"
    NAME_CLUSTER = "name-cluster"
    NAME_NODE = "name-node"
    RAISE_LIMIT = "raise-limit"
    RELEASE_BRAKE = "release-brake"
    LOOK_AT_LOCKS = "look-at-locks"


class Remedy(NamedTuple):
    """
    One next step, without the words of a face.

    Attributes:
        of: the cluster to elevate or confirm on, the limit to raise, the rule that asks once more, or the node whose
            locks to look at.
        most: how far the policy lets that limit be raised, in its own unit.
    """

    action: Action
    of: str = ""
    most: float = 0.0


class SafeConsoleError(Exception):
    """
    Anything that safeconsole says no with; immutable.

    Args:
        message: one line, for the person.
        code: a stable word for programs; the class's own where it is "".
        evidence: readings or facts behind it, one line each.
        instead: the next step in words that hold in every face, or "".
        remedies: further steps, which the face words.
        leaving: whether the person asked again while it was being stopped: the face shows this, and leaves.
    """

    code = "error"
    message: str
    evidence: tuple[str, ...]
    instead: str
    remedies: tuple[Remedy, ...]
    leaving: bool

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        evidence: tuple[str, ...] = (),
        instead: str = "",
        remedies: tuple[Remedy, ...] = (),
        leaving: bool = False,
    ) -> None:
        super().__init__(message)
        self._set(
            message=message,
            code=code or type(self).code,
            evidence=evidence,
            instead=instead,
            remedies=remedies,
            leaving=leaving,
        )

    def replaced(self, **changes: object) -> Self:
        """Return an error of the same kind with some attributes changed, and no traceback."""
        return _made(type(self), {**self.__dict__, **changes})

    def _set(self, **attributes: object) -> None:
        self.__dict__.update(attributes)

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _SET_BY_PYTHON:
            raise AttributeError(f"{type(self).__name__} is immutable: {name} is set when it is made")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: {name} stays")

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (type(self), dict(self.__dict__))


Kind = TypeVar("Kind", bound=SafeConsoleError)


def _made(kind: type[Kind], attributes: dict[str, Any]) -> Kind:
    made = kind.__new__(kind, attributes["message"])
    made.__dict__.update(attributes)
    return made


class NotSentError(SafeConsoleError):
    """Nothing was sent."""

    code = "not-sent"


class ConfigurationError(NotSentError):
    """The configuration, a name or an option is wrong."""

    code = "configuration"


class RefusedError(NotSentError):
    """The statement needs a confirmation or an elevation, or the console does not send it as things stand."""

    code = "refused"


class DeniedError(RefusedError):
    """No elevation would change the answer."""

    code = "denied"


class PolicyInvalidError(NotSentError):
    """The policy cannot be read or evaluated."""

    code = "policy-invalid"


class AuditUnavailableError(NotSentError):
    """The record could not be made durable."""

    code = "audit-unavailable"


class NoFitNodeError(NotSentError):
    """No node is proven and fit for the statement."""

    code = "no-fit-node"


class UnreachableError(NoFitNodeError):
    """A node could not be connected to, or refused its guards."""

    code = "unreachable"


class CrowdedError(UnreachableError):
    """The account may hold no further connection to a node now; the end of another one makes room."""

    code = "crowded"


class ServerError(SafeConsoleError):
    """
    The server answered with an error of its own; the statement had no effect beyond it.

    Args:
        number: the server's error number, 0 when it gave none.
        server_message: the server's text; the session takes quoted secrets out of it.
    """

    code = "server"
    number: int
    server_message: str

    def __init__(self, number: int, server_message: str, *, instead: str = "") -> None:
        super().__init__(f"the server says: {server_message} ({number})", instead=instead)
        self._set(number=number, server_message=server_message)


class Told(TypedDict, total=False):
    """The keyword arguments of `SafeConsoleError`."""

    code: str
    evidence: tuple[str, ...]
    instead: str
    remedies: tuple[Remedy, ...]
    leaving: bool


LOCK_WAIT = "lock_wait"
"""The code of a stop for a lock that another session held."""

UNSEEN = frozenset({"missed", "unreachable"})
"""What the process list says of a statement that nobody saw end."""


def stop_words(verified: str, rest: str) -> str:
    """Return the headline of a stop; an unseen one is not called stopped.

    Args:
        verified: see `StoppedError`.
        rest: where, by whom or why.
    """
    return f"asked to stop {rest}; not seen to stop" if verified in UNSEEN else f"stopped {rest}"


class StoppedError(SafeConsoleError):
    """
    Sent, then cut off; known to be over on the server unless `verified` says otherwise.

    Args:
        by: "person", "watchdog", "server" or "console".
        ceiling: the limit that was reached ("run_seconds", "memory_bytes", …), or "" for a person.
        verified: what the process list said afterwards: "killed", "already over", "missed", "unreachable".
    """

    code = "stopped"
    by: str
    ceiling: str
    verified: str

    def __init__(self, message: str, *, by: str, ceiling: str = "", verified: str = "", **told: Unpack[Told]) -> None:
        super().__init__(message, **told)
        self._set(by=by, ceiling=ceiling, verified=verified)


class LostError(StoppedError):
    """A read's connection was lost while it ran; it cannot have changed anything."""

    code = "lost"


class OutcomeUnknownError(SafeConsoleError):
    """
    Sent, then the connection was lost; it may or may not have run. Never sent again by us.

    Args:
        verified: as of `StoppedError`, "" where nobody looked.
    """

    code = "outcome-unknown"
    verified: str

    def __init__(self, message: str, *, verified: str = "", **told: Unpack[Told]) -> None:
        super().__init__(message, **told)
        self._set(verified=verified)


class NotRecordedError(SafeConsoleError):
    """Sent and over, but how it ended could not be recorded."""

    code = "not-recorded"
