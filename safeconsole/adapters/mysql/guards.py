"""Put the session's guards in force, and read them back: a guard that was not seen is not there."""

from __future__ import annotations

import msgspec
from pymysql.constants import COMMAND

from safeconsole.adapters.mysql.error_codes import code_of, text_of
from safeconsole.adapters.mysql.topology import is_on
from safeconsole.adapters.mysql.variants import Guard, Variant
from safeconsole.adapters.mysql.wire import DriverError, Wire
from safeconsole.core.errors import UnreachableError
from safeconsole.core.lexer import LexicalRules
from safeconsole.core.limits import Limits


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a session says of itself.

    Attributes:
        guards: each guard's variable and its value as read.
        sql_mode: the words in force.
        character_set: of the client, the connection and the results.
        schema: the current schema, or "".
        server: the server's identity.
        writable: whether the server itself takes writes.
    """

    guards: dict[str, str]
    sql_mode: str
    character_set: str
    schema: str
    server: str
    writable: bool


def guards_of(variant: Variant, version: int) -> tuple[Guard, ...]:
    """Return the guards that a server of this version has."""
    return tuple(guard for guard in variant.guards if guard.since <= version)


def enforce(wire: Wire, guards: tuple[Guard, ...], limits: Limits, *, server: str) -> None:
    """
    Set guards, in their order.

    Raises:
        UnreachableError: one was refused; the message names it.
    """
    try:
        # One round trip; on a refusal once more one by one, to say which.
        wire.run("SET " + ", ".join(guard.assignment(limits) for guard in guards))
    except DriverError:
        for guard in guards:
            try:
                wire.run(f"SET {guard.assignment(limits)}")
            except DriverError as error:
                raise UnreachableError(
                    f"{server} refused the guard {guard.variable}: {text_of(error)} ({code_of(error)})"
                ) from None


def read_session(wire: Wire, variant: Variant, guards: tuple[Guard, ...], *, then: str = "") -> Session:
    """
    Read all of it in one round trip (0.2 ms on loopback).

    Args:
        then: one of the console's own statements that returns nothing, run in the same round trip, after the reading.

    Raises:
        DriverError, OSError, ValueError: the connection is lost, the server refused, or a setting cannot be read.
    """
    variables = ", ".join(f"@@SESSION.{guard.variable}" for guard in guards)
    reading = (
        "SELECT @@SESSION.sql_mode, CONCAT_WS(',', @@character_set_client, @@character_set_connection,"
        f" @@character_set_results), DATABASE(), {variant.identity}, @@read_only, @@innodb_read_only, {variables}"
    )
    answers = wire.answers(*((COMMAND.COM_QUERY, text) for text in (reading, then) if text))
    row = wire.read_texts(next(answers))[0]
    for packets in answers:
        wire.read_done(packets)
    sql_mode, character_set, schema, server, read_only, innodb_read_only = row[:6]
    return Session(
        guards={guard.variable: str(value) for guard, value in zip(guards, row[6:], strict=True)},
        sql_mode=str(sql_mode),
        character_set=str(character_set),
        schema=schema or "",
        server=str(server),
        writable=not (is_on(read_only) or is_on(innodb_read_only)),
    )


def first_open(guards: tuple[Guard, ...], session: Session, limits: Limits) -> str:
    """Return the first guard that is not in force, as "name is X, not Y", or ""."""
    if set(session.character_set.split(",")) != {"utf8mb4"}:
        return f"the character set is {session.character_set}, not utf8mb4"
    for guard in guards:
        read = session.guards[guard.variable]
        if not guard.is_in_force(read, limits):
            return f"{guard.variable} is {read}, not as the console set it"
    return ""


def rules_of(variant: Variant, version: int, sql_mode: str) -> LexicalRules:
    """Return how a session reads text."""
    words = frozenset(sql_mode.upper().split(","))
    return LexicalRules(
        flavour=variant.flavour,
        version=version,
        ansi_quotes=bool(words & {"ANSI_QUOTES", "ANSI"}),
        no_backslash_escapes="NO_BACKSLASH_ESCAPES" in words,
        pipes_as_concat=bool(words & {"PIPES_AS_CONCAT", "ANSI"}),
        oracle="ORACLE" in words,
    )
