"""The meaning of the servers' error numbers for the data, as one table.

Source: MySQL 9.7 and MariaDB 10.11, measured; the manuals' "Server Error Message Reference".
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from safeconsole.errors import (
    LOCK_WAIT,
    CrowdedError,
    LostError,
    OutcomeUnknownError,
    RefusedError,
    SafeConsoleError,
    ServerError,
    StoppedError,
    UnreachableError,
)
from safeconsole.mysql.protocol import PacketTooLargeError
from safeconsole.patterns import late


class Meaning(StrEnum):
    """What an error number means for the statement."""

    LOST = "lost"
    CAPPED = "capped"
    READ_ONLY = "read-only"
    SHUTDOWN = "shutdown"


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """One error number: its meaning, and the ceiling behind it where it is a cap."""

    meaning: Meaning
    ceiling: str = ""


_LOST = Known(meaning=Meaning.LOST)
_READ_ONLY = Known(meaning=Meaning.READ_ONLY)

KNOWN: Mapping[int, Known] = {
    # The connection is gone; what was sent may have run.
    0: _LOST,
    2006: _LOST,
    2013: _LOST,
    2014: _LOST,
    2027: _LOST,
    2055: _LOST,
    # The server is going down, and says so.
    1053: Known(meaning=Meaning.SHUTDOWN),
    1927: _LOST,
    # A cap or a kill.
    3024: Known(meaning=Meaning.CAPPED, ceiling="run_seconds"),
    1969: Known(meaning=Meaning.CAPPED, ceiling="run_seconds"),
    1317: Known(meaning=Meaning.CAPPED),
    1205: Known(meaning=Meaning.CAPPED, ceiling="lock_wait_seconds"),
    4081: Known(meaning=Meaning.CAPPED, ceiling="session_memory_bytes"),
    4082: Known(meaning=Meaning.CAPPED, ceiling="session_memory_bytes"),
    1104: Known(meaning=Meaning.CAPPED, ceiling="max_join_size"),
    # The server refuses to write: the guard worked, or the role changed under us.
    1792: _READ_ONLY,
    1290: _READ_ONLY,
    1836: _READ_ONLY,
    1874: _READ_ONLY,
    3604: _READ_ONLY,
    3501: _READ_ONLY,
}

_USED_UP = 1226
CLOSES_CONNECTION = frozenset({4081, 4082})
"""Errors after which the server closes the connection."""

WAYS_OUT: Mapping[str, str] = {
    "run_seconds": "narrow it with WHERE or LIMIT",
    "lock_wait_seconds": "another session holds the lock: try again later",
    "session_memory_bytes": "narrow it, or sort and group fewer rows",
    "grown_memory_bytes": "ask for less of it at a time; sizes come from safeconsole capacity",
    "opened_tables": "ask for fewer tables at a time; sizes come from safeconsole capacity",
    "free_memory_bytes": "try again on another node, or later",
    "sensors": "look at why it cannot be read, or use another node",
    "fetched_bytes": "leave the large column out, or export in pieces",
    "changed_rows": "change the rows in pieces, by a range of the primary key",
    "max_join_size": "narrow it with a condition on an index",
}
"""Remedies for each ceiling."""

_MEMORY_CAP_TEXT = "max-session-mem-used"
_INNODB_READ_ONLY_TEXTS = {1015: "errno: 165", 1036: "read only"}

_NOT_IN_GROUP = 1047
"""What a node of Galera answers to nearly everything where it has no quorum, or is joining. Source: measured."""

_TOO_FEW = (
    "has no connection left for this account, and a console needs 2 at once",
    "try again in a moment, or have the account's MAX_USER_CONNECTIONS raised: 2 for each console at work",
)
"""One connection asks, and one measures, watches and kills."""

_CROWDED = frozenset({1203, 1226})

_BY_THE_HOUR = late(r"'(max_[a-z_]+)' resource")
"""What an account has used up; `max_user_connections` alone is about connections at one time. Source: MySQL 9.7 and
MariaDB 10.11, error 1226.
"""

_REFUSED = (
    "refused the account or its password",
    "set it with: safeconsole credentials set; MariaDB says so as well where it insists on TLS: set clusters.*.tls",
)
_EXPIRED = ("says that the account's password has expired", "ask the DBA for a new one")
_LOCKED = ("says that the account is locked", "ask the DBA to unlock it")

_CONNECT: Mapping[int, tuple[str, str]] = {
    1040: ("has no connection left", "try another node, or wait"),
    1203: _TOO_FEW,
    1226: _TOO_FEW,
    1045: _REFUSED,
    1698: _REFUSED,
    1820: _EXPIRED,
    1862: _EXPIRED,
    3118: _LOCKED,
    4151: _LOCKED,
    1044: ("does not let this account into the schema", "choose another schema"),
    1049: ("has no such schema", "choose another schema"),
    1129: ("blocks this host", "ask the DBA to FLUSH HOSTS"),
    1130: ("does not accept connections from this host", "ask the DBA for an account that may connect from here"),
    3032: ("is in offline mode", "try another node"),
    3159: ("insists on TLS", "set clusters.*.tls: mode and ca; with both a loopback connection is encrypted too"),
    2059: (
        "asks for the password under a key that nothing vouches for, over a connection that is not encrypted",
        "set clusters.*.tls.ca, or tls.server_key to a copy of the server's public_key.pem",
    ),
    2061: (
        "asks for the password in clear, over a connection that is not encrypted",
        "set clusters.*.tls.ca: with it a loopback connection is encrypted too; or use the server's socket",
    ),
    2026: ("does not offer TLS", "enable TLS on the server; unencrypted is accepted for loopback and sockets only"),
}


def code_of(error: BaseException) -> int:
    """Return the error number of a driver's error, 0 when it has none."""
    args = error.args
    return args[0] & 0xFFFF if args and isinstance(args[0], int) and args[0] > 0 else 0


def text_of(error: BaseException) -> str:
    return str(error.args[1]) if len(error.args) > 1 else str(error)


def meaning_of(error: BaseException) -> Known | None:
    """Return what an error means, or None for the server's ordinary errors."""
    if isinstance(error, (OSError, ValueError, AssertionError)):
        return _LOST
    code, text = code_of(error), text_of(error)
    # One number for two things; only the text tells them apart.
    if code == 1290 and _MEMORY_CAP_TEXT in text:
        return Known(meaning=Meaning.CAPPED, ceiling="session_memory_bytes")
    if code in _INNODB_READ_ONLY_TEXTS and _INNODB_READ_ONLY_TEXTS[code] in text.lower():
        return _READ_ONLY
    return KNOWN.get(code)


def is_lost(error: BaseException) -> bool:
    known = meaning_of(error)
    return known is not None and known.meaning in (Meaning.LOST, Meaning.SHUTDOWN)


def connect_error(error: BaseException, *, server: str, account: str) -> UnreachableError:
    """Return the error for a connection that failed; contains no secret.

    Args:
        server: the address that was tried.
    """
    code = code_of(error)
    original = getattr(error, "original_exception", error)
    if isinstance(original, ssl.SSLCertVerificationError):
        return UnreachableError(
            f"{server} did not prove its identity: {original.verify_message}",
            instead="set clusters.*.tls.ca to the authority that signed its certificate",
        )
    used_up = _BY_THE_HOUR.search(text_of(error)) if code == _USED_UP else None
    if used_up and used_up[1] != "max_user_connections":
        return UnreachableError(
            f"{server} lets this account do no more this hour: {used_up[1]} is used up (account {account}, {code})",
            instead="wait, or ask the DBA to raise it: a console opens connections and asks short questions for itself",
        )
    if code in _CONNECT:
        what, instead = _CONNECT[code]
        kind = CrowdedError if code in _CROWDED else UnreachableError
        return kind(f"{server} {what} (account {account}, {code})", instead=instead)
    if isinstance(original, OSError):
        why = original.strerror or str(original) or type(original).__name__
        return UnreachableError(f"{server} cannot be reached: {why.lower()}")
    return UnreachableError(f"{server} did not complete the connection: {text_of(error)} ({code})")


def first_words_error(error: BaseException, *, server: str, account: str) -> UnreachableError:
    """Return the error for a connection that was opened, and failed at the first thing that was asked on it."""
    if code_of(error) in _CONNECT:
        # MariaDB lets an account with an expired password in, and nothing through.
        return connect_error(error, server=server, account=account)
    return UnreachableError(
        f"{server} was lost while its guards were set: {text_of(error)}",
        # Source: MySQL 9.7 and MariaDB 10.11, measured: the client hears nothing of it, the server's log does.
        instead="a server ends each connection whose init_connect fails: an administrator sees @@global.init_connect",
    )


def statement_error(error: BaseException, *, server: str, changes: bool, verified: str = "") -> SafeConsoleError:
    """Return the error for a statement that failed and was not stopped by us.

    Args:
        server: the address it ran on.
        changes: whether it could have had an effect.
        verified: what the process list said of it afterwards, where somebody looked.
    """
    if isinstance(error, PacketTooLargeError):
        return StoppedError(
            f"{server} sent a value over the ceiling of bytes, and was cut off",
            by="console",
            ceiling="fetched_bytes",
            verified=verified,
            evidence=(f"one packet of {error.read_bytes} bytes",),
            instead=WAYS_OUT["fetched_bytes"],
        )
    known, code, text = meaning_of(error), code_of(error), text_of(error)
    if code == _NOT_IN_GROUP and "WSREP" in text:
        return RefusedError(
            f"{server} takes part in no cluster now: {text} (1047)",
            instead="it is joining, or has lost sight of most of its cluster: look at the topology",
        )
    if known is None:
        return ServerError(code, text)
    match known.meaning:
        case Meaning.CAPPED:
            return _capped(known, code, text, server=server)
        case Meaning.READ_ONLY:
            return RefusedError(
                f"{server} refused to change anything: {text} ({code})",
                instead="if the role of this server changed, look at the topology again",
            )
        case Meaning.LOST | Meaning.SHUTDOWN:
            return _lost(code, text, server=server, changes=changes, verified=verified)


def _capped(known: Known, code: int, text: str, *, server: str) -> StoppedError:
    what = known.ceiling or "a kill that was not ours"
    return StoppedError(
        f"{server} stopped the statement: {what}",
        by="server",
        code=LOCK_WAIT if known.ceiling == "lock_wait_seconds" else "",
        ceiling=known.ceiling,
        verified="already over",
        evidence=(f"the server says: {text} ({code})",),
        instead=WAYS_OUT.get(known.ceiling, ""),
    )


def _lost(code: int, text: str, *, server: str, changes: bool, verified: str) -> SafeConsoleError:
    evidence = (f"the driver says: {text or 'connection lost'} ({code})", f"process list: {verified or 'not asked'}")
    if changes:
        return OutcomeUnknownError(
            f"the connection to {server} was lost after the statement was sent; it may or may not have run",
            verified=verified,
            evidence=evidence,
            instead="check the data before you repeat it; the console does not send it again",
        )
    return LostError(
        f"the connection to {server} was lost while the statement ran",
        by="server",
        verified=verified or "unreachable",
        evidence=evidence,
        instead="a read changes nothing: you can run it again",
    )
