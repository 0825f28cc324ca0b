"""Recognises the server at the other end, and refuses products that are not supported."""

from __future__ import annotations

import re

import msgspec

from safeconsole.dialects.mariadb import MARIADB
from safeconsole.dialects.mysql import AURORA_MYSQL, MYSQL
from safeconsole.errors import UnreachableError
from safeconsole.mysql.wire import ServerReply, Wire
from safeconsole.patterns import late
from safeconsole.sqltext.dialect import Dialect

OLDEST_MYSQL, OLDEST_MARIADB = 80000, 100500
"""As `LexicalRules.version`. Source: docs/servers.md, "What is not supported"."""

_ITSELF = "use the client that is made for it"
_BEHIND = "name the MySQL servers behind it in nodes"

_STRANGERS: tuple[tuple[str, str, str], ...] = (
    ("tidb", "TiDB", _ITSELF),
    ("vitess", "Vitess", _BEHIND),
    ("oceanbase", "OceanBase", _ITSELF),
    ("dolt", "Dolt", _ITSELF),
    ("clickhouse", "ClickHouse", _ITSELF),
    ("starrocks", "StarRocks", _ITSELF),
    ("doris", "Doris", _ITSELF),
    ("memsql", "SingleStore", _ITSELF),
    ("singlestore", "SingleStore", _ITSELF),
    ("maxscale", "MaxScale", _BEHIND),
    ("proxysql", "ProxySQL", _BEHIND),
    # It says so where it ends the client's TLS itself, or shares connections; else it passes everything through.
    ("-router", "MySQL Router", _BEHIND),
)
"""Words of a greeting or of `@@version_comment`, whose they are, and what to do instead."""

ANOTHER_PRODUCT = "it is another product than MySQL or MariaDB, or a proxy that answers for it, and is not supported"

GATEWAY = "gateway"
"""The code of the error that says so of a gateway of ours."""

AURORA_BUILDS: tuple[tuple[int, int], ...] = (
    (1, 80023),
    (3, 80026),
    (4, 80028),
    (5, 80032),
    (6, 80034),
    (7, 80036),
    (8, 80039),
    (9, 80040),
    (10, 80042),
    (11, 80043),
    (12, 80044),
)
"""The minor releases of Aurora MySQL 3 that brought another version of MySQL, and which, ascending.

Source: Release Notes for Aurora MySQL, "Database engine updates for Amazon Aurora MySQL version 3".
"""

OF_ITSELF = "@@version, @@version_comment"

_A_VERSION = late(r"\d+\.\d+")
_AURORA_3 = late(r"8\.0\.mysql_aurora\.3\.(\d{2})\b", re.ASCII)


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """The family member that servers of some versions are.

    Attributes:
        takes_several: whether it answers questions that came in one write; what stands before a server may not.
    """

    version: str
    dialect: Dialect
    takes_several: bool = True


def version_of(text: str) -> int:
    """Return major * 10000 + minor * 100 + patch of a server's version text, 0 when it has none.

    Aurora MySQL 3 says "8.0.39", or in the words of its makers "8.0.mysql_aurora.3.08.0", which is the same.
    """
    aurora = _AURORA_3.match(text)
    if aurora:
        # A newer one is at least what the newest known is made of.
        return max(version for minor, version in AURORA_BUILDS if minor <= max(int(aurora[1]), 1))
    numbers = []
    for part in text.removeprefix("5.5.5-").split("-")[0].split(".")[:3]:
        if not part.isdecimal():
            break
        numbers.append(int(part))
    if len(numbers) < 2:
        return 0
    major, minor, patch = (*numbers, 0)[:3]
    return major * 10000 + minor * 100 + patch


def check_greeting(greeting: str, *, address: str) -> None:
    """Check a server's greeting. Raises UnreachableError: the server is not supported."""
    _check_names(greeting, address=address)
    shown, version = greeting.removeprefix("5.5.5-"), version_of(greeting)
    if not version:
        raise UnreachableError(f"{address} greets as {shown[:60]!r}: {ANOTHER_PRODUCT}")
    is_mariadb = "mariadb" in greeting.lower()
    name, oldest, least = ("MariaDB", OLDEST_MARIADB, "10.5") if is_mariadb else ("MySQL", OLDEST_MYSQL, "8.0")
    if version < oldest:
        raise UnreachableError(
            f"{address} is {name} {shown}, which is not supported: {least} is the oldest that is; where a proxy greets"
            " so for a newer server, name that server in nodes"
        )


def check_identity(dialect: Dialect, greeting: str, told: tuple[str | None, ...], *, address: str) -> None:
    """Compare a server's own variables with its greeting.

    Args:
        told: its identity, `@@version` and `@@version_comment`.

    Raises:
        UnreachableError: it does not say which server it is, or another one greeted than the one that answers.
    """
    server, version, comment = (text or "" for text in told)
    _check_names(comment, address=address)
    if not server.strip("/"):
        raise UnreachableError(f"{address} does not say which server it is: {ANOTHER_PRODUCT}")
    # What a real Aurora says in the two places was never seen.
    if dialect is not AURORA_MYSQL and version_of(version) != version_of(greeting):
        raise UnreachableError(
            f"{address} greets as {greeting[:60]} and answers as {version[:60]}: a proxy stands before it, such as"
            f" ProxySQL or MaxScale, which may send each statement elsewhere; {_BEHIND}"
        )


def require_no_gateway(wire: Wire, *, address: str) -> None:
    """Ask what refused the guards whether it is a gateway of ours; asked of nothing else.

    Raises:
        UnreachableError: it is. Limits, elevations and the journal are its own: a console behind it would have two of
            each, and watch connections by numbers that are not the servers'.
        DriverError, OSError: the connection is lost.
    """
    (reply,) = wire.flight("SELECT value FROM safeconsole.status WHERE what = 'cluster'")
    if reply.error is None and reply.rows:
        raise UnreachableError(
            f"{address} is a safeconsole gateway, which judges, limits and records what is sent to its cluster"
            f" {str(reply.rows[0][0])[:60]} by itself; no console does so once more before it",
            instead=f"connect a MySQL client to {address}, with a token as password, and elevate there by CALL"
            " safeconsole.elevate('reason'); or name the servers behind it in nodes",
            code=GATEWAY,
        )


def _check_names(text: str, *, address: str) -> None:
    lower = text.lower()
    for word, name, instead in _STRANGERS:
        if word in lower:
            raise UnreachableError(f"{address} is {name} ({text[:60]}), which is not supported: {instead}")


def dialect_of(wire: Wire, known: Variant | None = None) -> Dialect:
    """Return the dialect of the server at the other end.

    Args:
        known: what was there before; a server that greets with the same version is not asked again.

    Raises:
        DriverError, OSError: the connection is lost.
    """
    if known is not None and known.version == wire.server_version:
        return known.dialect
    if "mariadb" in wire.server_version.lower():
        return MARIADB
    # Alone: whether it is asked several questions at once hangs on the answer.
    (reply,) = wire.flight(AURORA_QUESTION)
    return AURORA_MYSQL if is_aurora(reply) else MYSQL


AURORA_QUESTION = "SELECT @@aurora_version"


def is_aurora(reply: ServerReply) -> bool:
    """Whether the answer to `AURORA_QUESTION` is Aurora's."""
    # Who knows no variable and says so with an empty answer is none.
    told = reply.rows[0][0] if reply.error is None and reply.rows and reply.rows[0] else None
    return _A_VERSION.match(told or "") is not None
