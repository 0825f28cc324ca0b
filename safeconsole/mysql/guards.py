"""Guards: what is put in force on a session and around each statement, and read back."""

from __future__ import annotations

import math
from decimal import Decimal
from enum import StrEnum

import msgspec
from pymysql.constants import COMMAND

from safeconsole.errors import UnreachableError
from safeconsole.mysql.error_codes import code_of, text_of
from safeconsole.mysql.topology import is_on
from safeconsole.mysql.wire import IN_TRANSACTION, IN_TRANSACTION_READONLY, DriverError, Wire
from safeconsole.policy.decision import Permit
from safeconsole.policy.limits import Limits
from safeconsole.sqltext.dialect import Dialect, Guard, Holds
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import begins
from safeconsole.sqltext.vocabulary import Account, Effect


class ServerSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session's own settings.

    Attributes:
        guards: each guard's variable and its value as read.
        character_set: of the client, the connection and the results.
        schema: the current schema, or "".
        writable: whether the server itself takes writes.
    """

    guards: dict[str, str]
    sql_mode: str
    character_set: str
    schema: str
    server: str
    writable: bool


def assignment(guard: Guard, limits: Limits) -> str:
    served, wanted = f"@@GLOBAL.{guard.variable}", number(wanted_of(guard, limits))
    if len(guard.words) > 1:
        wanted = f"IF({served} IN ({', '.join(map(_quoted, guard.words))}), {served}, {_quoted(guard.words[0])})"
    elif guard.words:
        wanted = _quoted(guard.words[0])
    elif guard.zero_lifts:
        wanted = f"CAST(IF({served} BETWEEN 1 AND {wanted}, {served}, {wanted}) AS UNSIGNED)"
    elif guard.holds is not Holds.EQUAL:
        bound = "LEAST" if guard.holds is Holds.AT_MOST else "GREATEST"
        wanted = f"CAST({bound}({served}, {wanted}) AS UNSIGNED)"
    return f"SESSION {guard.variable} = {wanted}"


def is_in_force(guard: Guard, reading: object, limits: Limits) -> bool:
    if guard.words:
        return str(reading).upper() in map(str.upper, guard.words)
    try:
        read = Decimal(str(reading))
    except ArithmeticError:
        return False
    wanted = Decimal(number(wanted_of(guard, limits)))
    match guard.holds:
        case Holds.AT_MOST:
            return read <= wanted and not (guard.zero_lifts and not read)
        case Holds.AT_LEAST:
            return read >= wanted
        case Holds.EQUAL:
            return read == wanted


def wanted_of(guard: Guard, limits: Limits) -> float:
    if not guard.limit:
        return guard.value
    asked: float = getattr(limits, guard.limit) * guard.units
    # A thousandth of a whole number is often a little less than that, as binary fractions are.
    return asked if guard.fractions else max(1, math.floor(asked + 1e-6))


def number(value: float) -> str:
    """Return a number as SQL, without an exponent: 30, 0.5."""
    return str(int(value)) if float(value).is_integer() else f"{value:.6f}".rstrip("0")


def _quoted(word: str) -> str:
    return word if word == "DEFAULT" else f"'{word}'"


def guards_of(dialect: Dialect, version: int) -> tuple[Guard, ...]:
    return tuple(guard for guard in dialect.server.guards if guard.since <= version)


def enforce(wire: Wire, guards: tuple[Guard, ...], limits: Limits, *, server: str) -> None:
    """Set guards, in their order. Raises UnreachableError: one was refused; the message names it."""
    try:
        # One round trip; on a refusal once more one by one, to say which.
        wire.run("SET " + ", ".join(assignment(guard, limits) for guard in guards))
    except DriverError:
        for guard in guards:
            try:
                wire.run(f"SET {assignment(guard, limits)}")
            except DriverError as error:
                raise UnreachableError(
                    f"{server} refused the guard {guard.variable}: {text_of(error)} ({code_of(error)})"
                ) from None


def read_session(wire: Wire, dialect: Dialect, guards: tuple[Guard, ...], *, then: str = "") -> ServerSession:
    """Read all of it in one round trip (0.2 ms on loopback).

    Args:
        then: one of the console's own statements that returns nothing, run in the same round trip, after the reading.

    Raises:
        DriverError, OSError, ValueError: the connection is lost, the server refused, or a setting cannot be read.
    """
    variables = ", ".join(f"@@SESSION.{guard.variable}" for guard in guards)
    reading = (
        "SELECT @@SESSION.sql_mode, CONCAT_WS(',', @@character_set_client, @@character_set_connection,"
        f" @@character_set_results), DATABASE(), {dialect.server.identity},"
        f" @@read_only, @@innodb_read_only, {variables}"
    )
    answers = wire.answers(*((COMMAND.COM_QUERY, text) for text in (reading, then) if text))
    row = wire.read_texts(next(answers))[0]
    for packets in answers:
        wire.read_done(packets)
    sql_mode, character_set, schema, server, read_only, innodb_read_only = row[:6]
    return ServerSession(
        guards={guard.variable: str(value) for guard, value in zip(guards, row[6:], strict=True)},
        sql_mode=str(sql_mode),
        character_set=str(character_set),
        schema=schema or "",
        server=str(server),
        writable=not (is_on(read_only) or is_on(innodb_read_only)),
    )


def first_open(guards: tuple[Guard, ...], session: ServerSession, limits: Limits) -> str:
    if set(session.character_set.split(",")) != {"utf8mb4"}:
        return f"the character set is {session.character_set}, not utf8mb4"
    for guard in guards:
        read = session.guards[guard.variable]
        if not is_in_force(guard, read, limits):
            return f"{guard.variable} is {read}, not as the console set it"
    return ""


def rules_of(dialect: Dialect, version: int, sql_mode: str) -> LexicalRules:
    words = frozenset(sql_mode.upper().split(","))
    return LexicalRules(
        dialect=dialect,
        version=version,
        ansi_quotes=bool(words & {"ANSI_QUOTES", "ANSI"}),
        no_backslash_escapes="NO_BACKSLASH_ESCAPES" in words,
        pipes_as_concat=bool(words & {"PIPES_AS_CONCAT", "ANSI"}),
        oracle="ORACLE" in words,
    )


# What stands around one statement, so that it can do what it was permitted to do and nothing else.
#
# A read-only transaction for reads, a read-write one for changes to rows, the session's mode lifted for what commits
# by itself, and nothing for what belongs to a transaction that the person has open. Source: MySQL 9.7 and MariaDB
# 10.11, measured: the session's mode and the transaction's hold together what neither holds alone.

SERVER_SLACK_SECONDS = 5
"""How much later than the console the server ends an idle transaction."""

_ROW_KINDS = frozenset({"insert", "update", "delete", "replace", "select", "with", "table", "values", "load"})
_BEGIN = "START TRANSACTION READ ONLY"


class Bracket(StrEnum):
    """The statements before and after one statement."""

    NONE = "none"
    READ_ONLY = "read-only"
    READ_WRITE = "read-write"
    LIFTED = "lifted"
    WITHIN = "within"


def bracket_of(permit: Permit, *, in_transaction: bool) -> Bracket:
    """Return what stands around a permitted statement.

    Args:
        in_transaction: whether the person has a transaction open on this connection.
    """
    statement = permit.statement
    if permit.within:
        return Bracket.WITHIN
    if permit.read_only:
        if begins(statement) and permit.account is Account.ELEVATED:
            return Bracket.LIFTED
        needs_own = Effect.READ in statement.effects and not in_transaction
        return Bracket.READ_ONLY if needs_own else Bracket.NONE
    changes_rows = bool(statement.effects & {Effect.WRITE, Effect.LOCK})
    others = statement.effects - {Effect.READ, Effect.SESSION, Effect.WRITE, Effect.LOCK}
    if changes_rows and not others and statement.kind.split(" ", 1)[0] in _ROW_KINDS:
        return Bracket.READ_WRITE
    return Bracket.LIFTED


def opened_with_reading(wire: Wire, permit: Permit) -> str:
    """Return the opening of a bracket that may be sent with the reading of the guards, or ""."""
    bracket = bracket_of(permit, in_transaction=bool(wire.server_status & IN_TRANSACTION))
    return _BEGIN if bracket is Bracket.READ_ONLY else ""


def open_bracket(wire: Wire, permit: Permit, *, read_only_variable: str, opened: bool = False) -> Bracket | None:
    """Put a statement's bracket around what follows, and return it; None when the server did not.

    Args:
        read_only_variable: the session setting that forbids writing.
        opened: it was opened together with the reading of the guards.

    Raises:
        DriverError, OSError: the connection is lost, or the server refused.
    """
    in_own = bool(wire.server_status & IN_TRANSACTION) and not opened
    # What belongs to a transaction would be committed by itself without it, and what does not would wait in it.
    if permit.within != in_own and (permit.within or not permit.read_only):
        return None
    bracket = bracket_of(permit, in_transaction=in_own)
    match bracket:
        case Bracket.READ_ONLY:
            if not opened:
                wire.run(_BEGIN)
        case Bracket.READ_WRITE:
            wire.run("START TRANSACTION READ WRITE")
        case Bracket.LIFTED:
            wire.run(f"SET SESSION {read_only_variable} = 0")
        case Bracket.NONE | Bracket.WITHIN:
            pass
    reads = permit.read_only and Effect.READ in permit.statement.effects
    # A person's own open write transaction is read in by its elevated account only.
    exempt = bracket is Bracket.WITHIN and permit.account is Account.ELEVATED
    held = not reads or exempt or bool(wire.server_status & IN_TRANSACTION_READONLY)
    return bracket if held else None


def close_bracket(wire: Wire, bracket: Bracket, *, keep: bool, read_only_variable: str) -> None:
    """End a bracket.

    Args:
        keep: whether what was changed in it stays.

    Raises:
        DriverError, OSError: the connection is lost, or the server refused.
    """
    match bracket:
        case Bracket.READ_ONLY:
            # Nothing can come of it that anybody waits for; the next statement begins with its answer.
            wire.run_unawaited("COMMIT")
            wire.server_status &= ~(IN_TRANSACTION | IN_TRANSACTION_READONLY)
        case Bracket.READ_WRITE:
            wire.run("COMMIT" if keep else "ROLLBACK")
        case Bracket.LIFTED:
            wire.run(f"SET SESSION {read_only_variable} = 1")
        case Bracket.WITHIN:
            if not keep:
                # An error does not say whether the transaction is open still: a deadlock ends it, a duplicate does not.
                wire.run("DO 0")
        case Bracket.NONE:
            pass


def hold_idle(wire: Wire, variables: tuple[str, ...], seconds: float) -> None:
    """Have the server itself end the transaction that is about to begin when it stands idle.

    The console ends it a little before; this is for a console that was stopped, or cut off without a word.

    Args:
        variables: the session settings that hold an idle transaction.
        seconds: how long it may stand idle, > 0.

    Raises:
        DriverError, OSError: the connection is lost, or the server refused.
    """
    whole = math.ceil(seconds) + SERVER_SLACK_SECONDS
    wire.run(
        "SET "
        + ", ".join(
            f"SESSION {variable} ="
            f" CAST(IF(@@GLOBAL.{variable} BETWEEN 1 AND {whole}, @@GLOBAL.{variable}, {whole}) AS UNSIGNED)"
            for variable in variables
        )
    )
