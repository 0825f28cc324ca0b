"""Guards: session settings and transactions that the console sets and reads back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum

import msgspec

from safeconsole.dialects.privileges import AccountPrivileges, privileges_by_itself
from safeconsole.errors import UnreachableError
from safeconsole.mysql.error_codes import code_of, is_lost, text_of
from safeconsole.mysql.topology import is_on
from safeconsole.mysql.wire import IN_TRANSACTION, IN_TRANSACTION_READONLY, Question, ServerReply, Wire
from safeconsole.policy.decision import Permit
from safeconsole.policy.limits import Limits
from safeconsole.sqltext.dialect import Dialect, Guard, Holds
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import begins
from safeconsole.sqltext.vocabulary import Account, Effect

RESET: Question = (0x1F, b"")
"""COM_RESET_CONNECTION. Source: MySQL 9.7 and MariaDB 10.11, measured: it rolls back, unlocks, frees named locks, drops
temporary tables, prepared statements and user variables, takes every setting back to the global one, that of the
characters too, and leaves the current schema."""


class ServerSession(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that a session reported.

    Attributes:
        guards: each guard's variable and its value as read.
        character_set: of the client, the connection and the results.
        schema: the current schema, or "".
        writable: whether the server itself takes writes.
        packet_bytes: the largest command that the server takes.
    """

    guards: dict[str, str]
    sql_mode: str
    character_set: str
    schema: str
    server: str
    writable: bool
    packet_bytes: int = 0


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


def are_set_anew(guards: tuple[Guard, ...], before: Limits, limits: Limits) -> bool:
    """Whether guards that follow limits are to be set otherwise for these than for those before."""
    return limits != before and any(wanted_of(guard, limits) != wanted_of(guard, before) for guard in guards)


def number(value: float) -> str:
    """Return a number as SQL, without an exponent: 30, 0.5."""
    return str(int(value)) if float(value).is_integer() else f"{value:.6f}".rstrip("0")


def _quoted(word: str) -> str:
    return word if word == "DEFAULT" else f"'{word}'"


def guards_of(dialect: Dialect, version: int) -> tuple[Guard, ...]:
    return tuple(guard for guard in dialect.server.guards if guard.since <= version)


BEGIN, UNDO = "START TRANSACTION READ ONLY", "ROLLBACK"

CHARACTERS = "NAMES utf8mb4"
"""Put in force with the guards; the driver would ask for it by itself, and wait."""


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a session as read in one round trip.

    Attributes:
        session: its settings, as they were read back.
        in_transaction: whether a transaction was open when they were read.
        status: the session's status bits at the end of the round trip.
        replies: to what was asked behind the reading.
    """

    session: ServerSession
    in_transaction: bool
    status: int
    replies: list[ServerReply]


def setting_of(guards: tuple[Guard, ...], limits: Limits, *, first: str = "") -> str:
    """Return the SET statement for the guards, in order, after other assignments if given."""
    return "SET " + ", ".join((*filter(None, (first,)), *(assignment(guard, limits) for guard in guards)))


def enforce_each(wire: Wire, guards: tuple[Guard, ...], limits: Limits, *, server: str) -> None:
    """Set guards one by one, after the server refused all at once.

    Raises:
        UnreachableError: one was refused; the message names it.
        DriverError, OSError: the connection is lost.
    """
    for guard in guards:
        (reply,) = wire.flight(setting_of((guard,), limits))
        if reply.error is not None and is_lost(reply.error):
            raise reply.error
        if reply.error is not None:
            raise UnreachableError(
                f"{server} refused the guard {guard.variable}: {text_of(reply.error)} ({code_of(reply.error)})"
            )


def read_back(
    wire: Wire,
    reading: str,
    guards: tuple[Guard, ...],
    *,
    first: tuple[str | Question, ...] = (),
    then: tuple[str, ...] = (),
) -> Proof:
    """Read all of a session's settings, in one round trip (0.2 ms on loopback).

    Args:
        reading: `reading_of` the guards.
        first: settings and commands of the console's, carried out before the reading.
        then: questions of the console's, asked behind it.

    Raises:
        DriverError, OSError, ValueError: the connection is lost, the server refused, or a setting cannot be read.
    """
    replies = wire.flight(*first, reading, *then)
    for reply in replies[: len(first) + 1]:
        if reply.error is not None:
            raise reply.error
    return proof_of(replies[len(first)], guards, behind=replies[len(first) + 1 :])


_OWN_COLUMNS = 7
"""Of a reading, before its guards."""


def reading_of(dialect: Dialect, guards: tuple[Guard, ...]) -> str:
    variables = ", ".join(f"@@SESSION.{guard.variable}" for guard in guards)
    return (
        "SELECT @@SESSION.sql_mode, CONCAT_WS(',', @@character_set_client, @@character_set_connection,"
        f" @@character_set_results), DATABASE(), {dialect.server.identity},"
        f" @@read_only, @@innodb_read_only, @@max_allowed_packet, {variables}"
    )


def proof_of(read: ServerReply, guards: tuple[Guard, ...], *, behind: list[ServerReply]) -> Proof:
    """Return the proof in a row that was read back.

    Args:
        read: the answer to `reading_of`.
        behind: the answers to what was asked behind it.

    Raises:
        ValueError: a setting cannot be read.
    """
    sql_mode, character_set, schema, server, read_only, innodb_read_only, packet_bytes = read.rows[0][:_OWN_COLUMNS]
    session = ServerSession(
        guards={guard.variable: str(value) for guard, value in zip(guards, read.rows[0][_OWN_COLUMNS:], strict=True)},
        sql_mode=str(sql_mode),
        character_set=str(character_set),
        schema=schema or "",
        server=str(server),
        writable=not (is_on(read_only) or is_on(innodb_read_only)),
        packet_bytes=int(packet_bytes or 0),
    )
    return Proof(
        session=session,
        in_transaction=bool(read.status & IN_TRANSACTION),
        status=behind[-1].status if behind else read.status,
        replies=behind,
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


class Bracket(StrEnum):
    """The transaction statements before and after one statement."""

    NONE = "none"
    READ_ONLY = "read-only"
    READ_WRITE = "read-write"
    LIFTED = "lifted"
    WITHIN = "within"


def bracket_of(permit: Permit, *, in_transaction: bool) -> Bracket:
    """Return the transaction that a permitted statement runs in.

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


def opening_of(bracket: Bracket, permit: Permit, *, read_only_variable: str) -> tuple[str, ...]:
    """Return the statements that open a bracket, none if there is nothing to open.

    Args:
        read_only_variable: the session setting that forbids writing.
    """
    # Of the next transaction alone: the session's own level stays what the guards say.
    level = (f"SET TRANSACTION ISOLATION LEVEL {permit.isolation}",) if permit.isolation is not None else ()
    match bracket:
        case Bracket.READ_ONLY:
            return (*level, BEGIN)
        case Bracket.READ_WRITE:
            return (*level, "START TRANSACTION READ WRITE")
        case Bracket.LIFTED:
            return (f"SET SESSION {read_only_variable} = 0", *level)
        case Bracket.NONE | Bracket.WITHIN:
            return level


def is_open(bracket: Bracket, permit: Permit, *, was_in_transaction: bool, status: int) -> bool:
    """Whether the transaction for a statement is open as intended.

    Args:
        was_in_transaction: whether a transaction was open before the bracket was opened.
        status: what the server said of the session after it was.
    """
    # What belongs to a transaction would be committed by itself without it, and what does not would wait in it.
    if permit.within != was_in_transaction and (permit.within or not permit.read_only):
        return False
    if bracket is Bracket.READ_ONLY and was_in_transaction:
        return False
    reads = permit.read_only and Effect.READ in permit.statement.effects
    # A person's own open write transaction is read in by its elevated account only.
    exempt = bracket is Bracket.WITHIN and permit.account is Account.ELEVATED
    return not reads or exempt or bool(status & IN_TRANSACTION_READONLY)


def close_bracket(wire: Wire, bracket: Bracket, *, keep: bool, read_only_variable: str) -> None:
    """Commit or roll back the transaction around a statement.

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
            # The next statement begins with its answer, and reads back whether it holds.
            wire.run_unawaited(f"SET SESSION {read_only_variable} = 1")
        case Bracket.WITHIN:
            if not keep:
                # An error does not say whether the transaction is open still: a deadlock ends it, a duplicate does not.
                wire.run("DO 0")
        case Bracket.NONE:
            pass


def idle_setting(variables: tuple[str, ...], seconds: float) -> str:
    """Return the SET that makes the server end the coming transaction when it is idle for too long.

    The console ends it a little before; this is for a console that was stopped, or cut off without a word.

    Args:
        variables: the session settings that hold an idle transaction.
        seconds: how long it may stand idle, > 0.
    """
    whole = math.ceil(seconds) + SERVER_SLACK_SECONDS
    return "SET " + ", ".join(
        f"SESSION {variable} ="
        f" CAST(IF(@@GLOBAL.{variable} BETWEEN 1 AND {whole}, @@GLOBAL.{variable}, {whole}) AS UNSIGNED)"
        for variable in variables
    )


def privileges_told(dialect: Dialect, replies: Sequence[ServerReply]) -> AccountPrivileges | None:
    """Return what an account says that it may do, None where it was not asked, or the server does not tell."""
    if not replies or not replies[0].rows or any(reply.error is not None for reply in replies):
        return None
    return privileges_by_itself(dialect, [reply.rows for reply in replies])
