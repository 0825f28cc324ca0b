"""Handles settings that clients send when they connect: applied to this client, tightened, or refused. Pure.

A SET is read as a table of assignments. One that is understood as a whole is answered here; a setting that is none of
these goes on to the gate, with those that are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from safeconsole.gateway.texts import Charset
from safeconsole.sqltext.lexer import LexicalRules, Token, TokenKind, tokens, value_of
from safeconsole.sqltext.vocabulary import Isolation, words

UTF8 = words("utf8mb4 utf8 utf8mb3 ascii binary us-ascii")

_SILENT = frozenset({TokenKind.SPACE, TokenKind.COMMENT})
_NOT_UTF8, _BAD_VALUE = 1115, 1231


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one client.

    Attributes:
        autocommit: whether each change is committed by itself.
        isolation: the level that transactions were asked to have, None for the servers' own.
        read_only: whether transactions are begun read-only.
        next_isolation, next_read_only: the same of the next one alone, None where nothing was said.
        select_limit: rows after which a SELECT ends, 0 for none.
        run_seconds: the longest time of a statement, 0 for the policy's.
        own_modes: the words of the servers' own sql_mode, in upper case.
        lacking_modes: words that were asked for and are not in force.
        kept_modes: words that are in force although they were asked away.
        charset: what its texts are written in, and what it reads.
    """

    autocommit: bool = True
    isolation: Isolation | None = None
    read_only: bool = False
    next_isolation: Isolation | None = None
    next_read_only: bool | None = None
    select_limit: int = 0
    run_seconds: float = 0.0
    own_modes: frozenset[str] = frozenset()
    lacking_modes: frozenset[str] = frozenset()
    kept_modes: frozenset[str] = frozenset()
    charset: Charset = Charset.UTF8


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a setting is refused.

    Attributes:
        number: the error number that a server would use.
    """

    number: int
    message: str


class Absorbed(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a SET.

    Attributes:
        settings: the client's settings after it.
        rest: a SET of what the gate has to judge, "" when nothing is left.
        notes: what the client is told.
    """

    settings: ClientSettings
    rest: str = ""
    notes: tuple[str, ...] = ()


Taken = ClientSettings | Refusal | None
"""The settings after an assignment, why there are none, or None where the gate has to judge it."""

Value = Sequence[Token]
Taker = Callable[[ClientSettings, str, Value, LexicalRules], Taken]


def absorbed(text: str, settings: ClientSettings, rules: LexicalRules) -> Absorbed | Refusal | None:
    """Return the result of a SET, or None if it is no SET or wholly for the gate."""
    found = [token for token in tokens(text, rules) if token.kind not in _SILENT]
    if not found or found[0].word != "SET" or any(token.kind is TokenKind.UNREADABLE for token in found):
        return None
    while found[-1].kind is TokenKind.DELIMITER:
        found.pop()
    whole = _read_whole(found[1:], settings)
    if whole is not None:
        return whole if isinstance(whole, Refusal) else Absorbed(settings=whole)
    rest: list[str] = []
    now = settings
    for part in _parts(found[1:]):
        taken = _taken(part, now, rules)
        if isinstance(taken, Refusal):
            return taken
        if taken is None:
            rest.append(text[part[0].start : part[-1].end] if part else "")
        else:
            now = taken
    if len(rest) == len(_parts(found[1:])):
        return None
    return Absorbed(settings=now, rest=f"SET {', '.join(rest)}" if rest else "", notes=_notes_on(now, settings))


def _notes_on(now: ClientSettings, before: ClientSettings) -> tuple[str, ...]:
    notes = []
    if now.lacking_modes != before.lacking_modes and now.lacking_modes:
        lacking = ", ".join(sorted(now.lacking_modes))
        notes.append(f"sql_mode {lacking} is not in force: rows are written by the servers' own sql_mode")
    if now.kept_modes != before.kept_modes and now.kept_modes:
        kept = ", ".join(sorted(now.kept_modes))
        notes.append(f"sql_mode stays the servers' own: what {kept} refuses is refused")
    return tuple(notes)


def _parts(found: Value) -> list[list[Token]]:
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in found:
        depth += (token.text == "(") - (token.text == ")")
        if not depth and token.text == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _read_whole(found: Value, settings: ClientSettings) -> ClientSettings | Refusal | None:
    """Return the settings of SET forms without an equals sign."""
    said = [token.word or token.text.strip("'\"`").upper() for token in found]
    if said[:1] == ["NAMES"] or said[:1] == ["CHARSET"] or said[:2] == ["CHARACTER", "SET"]:
        named = said[2] if said[:1] == ["CHARACTER"] and len(said) > 2 else "".join(said[1:2])
        # `SET NAMES x COLLATE y`, and nothing behind it.
        if len(said) > (5 if said[0] == "CHARACTER" else 4):
            return None
        if named.lower() not in UTF8 and named != "DEFAULT":
            return _no_charset(named)
        return replace(settings, charset=Charset.UTF8)
    scope = said[:1] if said[:1] in (["SESSION"], ["LOCAL"]) else []
    if said[len(scope) : len(scope) + 1] != ["TRANSACTION"]:
        return None
    return _read_mode(" ".join(said[len(scope) + 1 :]), settings, standing=bool(scope))


def _read_mode(modes: str, settings: ClientSettings, *, standing: bool) -> ClientSettings | Refusal | None:
    for mode in (each.strip() for each in modes.split(",")):
        if mode in {"READ ONLY", "READ WRITE"}:
            field = "read_only" if standing else "next_read_only"
            settings = replace(settings, **{field: mode == "READ ONLY"})
        elif mode.startswith("ISOLATION LEVEL "):
            taken = _isolation(settings, mode.removeprefix("ISOLATION LEVEL "), standing=standing)
            if isinstance(taken, Refusal):
                return taken
            settings = taken
        else:
            return None
    return settings


def _isolation(settings: ClientSettings, level: str, *, standing: bool) -> ClientSettings | Refusal:
    field = "isolation" if standing else "next_isolation"
    level = level.upper().replace("-", " ")
    if level == "DEFAULT":
        return replace(settings, **{field: None})
    if level in {each.value for each in Isolation}:
        return replace(settings, **{field: Isolation(level)})
    return Refusal(
        number=_BAD_VALUE,
        message=f"transaction isolation {level} is not given here: reads would lock rows; use REPEATABLE READ, or"
        " SELECT ... FOR UPDATE under an elevation",
    )


def _taken(part: Value, settings: ClientSettings, rules: LexicalRules) -> Taken:
    sign = next((place for place, token in enumerate(part) if token.text in {"=", ":="}), 0)
    target, value = part[:sign], part[sign + 1 :]
    if target and target[0].word == "NAMES":
        return None
    if not target or not value:
        return _read_whole(part, settings)
    name = _session_name(target)
    taker = _TAKERS.get(name)
    return taker(settings, name, value, rules) if taker is not None else None


def _session_name(target: Value) -> str:
    """Return the session variable that an assignment names, or ""."""
    said = [part.strip("`").lower() for token in target for part in token.text.lstrip("@").split(".") if part]
    if len(said) == 1 and target[0].kind is not TokenKind.VARIABLE:
        return said[0]
    return said[1] if len(said) == 2 and said[0] in {"session", "local"} else ""


def _plain(value: Value, rules: LexicalRules) -> str:
    """Return the text of a plain value, "" for any other."""
    return value_of(value[0], rules).strip("`") if len(value) == 1 else ""


def _whether(value: Value, rules: LexicalRules) -> bool | None:
    return {"1": True, "on": True, "true": True, "0": False, "off": False, "false": False}.get(
        _plain(value, rules).lower()
    )


def _no_charset(named: str) -> Refusal:
    return Refusal(number=_NOT_UTF8, message=f"unknown character set here: {named.lower()}; use SET NAMES utf8mb4")


def _take_charset(settings: ClientSettings, _name: str, value: Value, rules: LexicalRules) -> Taken:
    named = _plain(value, rules).lower()
    known = named in UTF8 or named in {"null", "default"} or named.partition("_")[0] in UTF8
    # `@@character_set_server` and the like are the servers' own.
    own = len(value) == 1 and value[0].kind is TokenKind.SYSTEM
    return settings if known or own else _no_charset(named)


def _take_autocommit(settings: ClientSettings, _name: str, value: Value, rules: LexicalRules) -> Taken:
    on = _whether(value, rules)
    return None if on is None else replace(settings, autocommit=on)


def _take_isolation(settings: ClientSettings, _name: str, value: Value, rules: LexicalRules) -> Taken:
    return _isolation(settings, _plain(value, rules), standing=True) if len(value) == 1 else None


def _take_read_only(settings: ClientSettings, _name: str, value: Value, rules: LexicalRules) -> Taken:
    on = _whether(value, rules)
    return None if on is None else replace(settings, read_only=on)


_NO_LIMIT = 2**32
"""What clients send for none is the largest number of 32 or of 64 bits."""


def _take_select_limit(settings: ClientSettings, _name: str, value: Value, rules: LexicalRules) -> Taken:
    said = _plain(value, rules)
    if said.upper() == "DEFAULT":
        return replace(settings, select_limit=0)
    if not said.isascii() or not said.isdigit():
        return None
    limit = int(said)
    # A limit of no rows at all is nothing that a client means.
    return replace(settings, select_limit=limit if 0 < limit < _NO_LIMIT - 1 else 0)


def _take_time_limit(settings: ClientSettings, name: str, value: Value, rules: LexicalRules) -> Taken:
    said = _plain(value, rules)
    try:
        seconds = 0.0 if said.upper() == "DEFAULT" else float(said)
    except ValueError:
        return None
    if name == "max_execution_time":
        seconds /= 1000
    return replace(settings, run_seconds=seconds) if 0 <= seconds < _NO_LIMIT else None


_READING_MODES = words(
    "ANSI ANSI_QUOTES PIPES_AS_CONCAT NO_BACKSLASH_ESCAPES ORACLE DB2 MAXDB MSSQL POSTGRESQL IGNORE_SPACE"
    " HIGH_NOT_PRECEDENCE EMPTY_STRING_IS_NULL SIMULTANEOUS_ASSIGNMENT REAL_AS_FLOAT MYSQL323 MYSQL40"
    " PAD_CHAR_TO_FULL_LENGTH NO_UNSIGNED_SUBTRACTION TIME_TRUNCATE_FRACTIONAL TIME_ROUND_FRACTIONAL"
)
"""They change what a text means, or how a value reads."""

_REFUSING_MODES = words(
    "STRICT_ALL_TABLES STRICT_TRANS_TABLES ONLY_FULL_GROUP_BY NO_ZERO_DATE NO_ZERO_IN_DATE"
    " ERROR_FOR_DIVISION_BY_ZERO NO_ENGINE_SUBSTITUTION"
)

_SCOPES = frozenset({"@@global", "@@session", "@@local"})
_MODE_FUNCTIONS = words("CONCAT REPLACE CONCAT_WS")


def _modes_of(rules: LexicalRules) -> Mapping[str, bool]:
    return {
        "ANSI_QUOTES": rules.ansi_quotes,
        "NO_BACKSLASH_ESCAPES": rules.no_backslash_escapes,
        "PIPES_AS_CONCAT": rules.pipes_as_concat,
        "ORACLE": rules.oracle,
    }


def _take_sql_mode(settings: ClientSettings, _name: str, value: Value, rules: LexicalRules) -> Taken:
    asked: set[str] = set()
    for place, token in enumerate(value):
        if token.kind is TokenKind.STRING:
            asked.update(word.strip().upper() for word in value_of(token, rules).split(","))
        elif token.kind is TokenKind.SYSTEM:
            # `@@sql_mode`, or `@@GLOBAL`, a dot and the name.
            named = (
                "".join(each.text for each in value[place : place + 3]) if token.text.lower() in _SCOPES else token.text
            )
            if named.lower().rpartition(".")[2].lstrip("@") != "sql_mode":
                return None
        elif token.kind is TokenKind.WORD and value[max(place - 1, 0)].text == ".":
            continue
        elif token.kind is TokenKind.WORD and token.word not in _MODE_FUNCTIONS:
            asked.add(token.word)
        elif token.kind is not TokenKind.WORD and token.text not in {"(", ")", ",", "."}:
            return Refusal(number=_BAD_VALUE, message="sql_mode is set to what cannot be read here: give its words")
    own = any(token.kind is TokenKind.SYSTEM or token.word == "DEFAULT" for token in value)
    asked -= {"", "DEFAULT"}
    owned = settings.own_modes | {mode for mode, is_on in _modes_of(rules).items() if is_on}
    if any(token.word == "REPLACE" for token in value):
        lacking, kept = frozenset[str](), owned & asked
    else:
        lacking, kept = frozenset(asked - owned), frozenset[str]() if own else owned - asked
    bad = sorted((lacking | kept) & _READING_MODES)
    if bad:
        return Refusal(
            number=_BAD_VALUE,
            message=f"sql_mode {', '.join(bad)} stays as the servers have it: it changes what a text means, or a value"
            " reads; leave it out",
        )
    return replace(settings, lacking_modes=lacking, kept_modes=kept & _REFUSING_MODES)


def _keep(settings: ClientSettings, _name: str, _value: Value, _rules: LexicalRules) -> Taken:
    return settings


def _take_switch(settings: ClientSettings, name: str, value: Value, rules: LexicalRules) -> Taken:
    """Absorb a switch that is set to the value in force here; anything else goes to the gate."""
    return settings if _whether(value, rules) is _HELD[name] else None


_HELD: Mapping[str, bool] = {
    "sql_auto_is_null": False,
    "foreign_key_checks": True,
    "unique_checks": True,
    "sql_notes": True,
    "sql_quote_show_create": True,
}

_TAKERS: Mapping[str, Taker] = {
    **dict.fromkeys(
        words(
            "character_set_client character_set_connection character_set_results character_set_server"
            " character_set_database collation_connection collation_server collation_database"
        ),
        _take_charset,
    ),
    "autocommit": _take_autocommit,
    "transaction_isolation": _take_isolation,
    "tx_isolation": _take_isolation,
    "transaction_read_only": _take_read_only,
    "tx_read_only": _take_read_only,
    "sql_select_limit": _take_select_limit,
    "max_execution_time": _take_time_limit,
    "max_statement_time": _take_time_limit,
    "sql_mode": _take_sql_mode,
    **dict.fromkeys(_HELD, _take_switch),
    # How long a client may be idle, and how bytes travel, is the gateway's own matter.
    **dict.fromkeys(
        words("wait_timeout interactive_timeout net_read_timeout net_write_timeout net_buffer_length"), _keep
    ),
}
