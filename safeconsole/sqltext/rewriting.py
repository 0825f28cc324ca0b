"""Rewrites a change as reads: its rows before and after, and their number. Pure.

They are written from the text of an UPDATE or DELETE of one table, with its own WHERE, ORDER BY and LIMIT, and only
where that is certain to find the rows that the change would touch; anything else is refused with the reason.
"""

from __future__ import annotations

import msgspec

from safeconsole.sqltext.analysis import analyse, modifiers_end
from safeconsole.sqltext.lexer import LexicalRules, Token, TokenKind, tokens
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.undoing import KeepOrder, quoted
from safeconsole.sqltext.vocabulary import words

_SKIPPED = frozenset({TokenKind.SPACE, TokenKind.COMMENT})
_NAMES = frozenset({TokenKind.WORD, TokenKind.NAME})
_TAILS = frozenset({"WHERE", "ORDER", "LIMIT"})
_CHANCE = frozenset({"rand", "random", "randomblob", "uuid", "uuid_short", "sysdate", "sys_guid", "random_bytes"})
_NOT_READ = words("RETURNING PARTITION FORCE USE USING FOR SYSTEM_TIME")
_ARROW = "→"


class NotRewrittenError(ValueError):
    """The change cannot be shown as a read with certainty; the message says why."""


class ChangePreview(msgspec.Struct, frozen=True, kw_only=True):
    """The reads that preview a change.

    Attributes:
        count: counts the rows that it would touch.
        rows: returns some of those rows, each as it is, and behind that the new value of each column that is set.
        image: returns every one of those rows as it is.
        columns: the columns that are set, as written; empty for a DELETE.
    """

    count: str
    rows: str
    image: str
    columns: tuple[str, ...] = ()


class _Parts(msgspec.Struct, frozen=True, kw_only=True):
    target: str
    tail: str
    limited: bool = False
    sets: tuple[tuple[str, str], ...] = ()


def preview_of(statement: Statement, rules: LexicalRules, *, schema: str, most_rows: int) -> ChangePreview:
    """Return the reads that preview an UPDATE or DELETE.

    Args:
        rules: how the server reads it.
        most_rows: how many rows are shown, > 0.

    Raises:
        NotRewrittenError: it is not certain which rows those are, or what becomes of them.
    """
    parts = _parts_of(statement, rules)
    new = "".join(f", ({value}) AS `{name} {_ARROW}`" for name, value in parts.sets)
    source = f"FROM {parts.target}{parts.tail}"
    shown = f"SELECT *{new} {source}"
    # Put together from the statement's own text, which runs as a plain read or not at all.
    rows = f"SELECT * FROM ({shown}) AS safeconsole_preview LIMIT {most_rows}"  # noqa: S608
    if not parts.limited:
        rows = f"{shown} LIMIT {most_rows}"
    counted = f"SELECT COUNT(*) AS touched FROM (SELECT 1 {source}) AS safeconsole_preview"  # noqa: S608
    _require_reads(statement, (counted, rows), rules, schema)
    image = f"SELECT * {source}"
    return ChangePreview(count=counted, rows=rows, image=image, columns=tuple(name for name, _ in parts.sets))


def keep_order_of(statement: Statement, rules: LexicalRules, *, schema: str, most_rows: int, days: float) -> KeepOrder:
    """Return the read of a change's rows before it, for `undo`. Raises as `preview_of`."""
    preview_of(statement, rules, schema=schema, most_rows=1)
    parts = _parts_of(statement, rules)
    (table,) = statement.tables
    name = f"{quoted(table.schema)}.{quoted(table.name)}" if table.schema else quoted(table.name)
    return KeepOrder(
        table=name,
        schema=table.schema or schema,
        name=table.name,
        source=f"FROM {parts.target}{parts.tail}",
        limited=parts.limited,
        changed=tuple(column for column, _ in parts.sets),
        most_rows=most_rows,
        days=days,
    )


def _parts_of(statement: Statement, rules: LexicalRules) -> _Parts:
    text, kind = statement.text, statement.kind
    if kind not in {"update", "delete"}:
        raise NotRewrittenError(f"only an UPDATE or DELETE is shown before it is made, and this is {kind}")
    if "/*" in text:
        raise NotRewrittenError("a comment in it may be code for the server")
    chance = next((name for name in statement.functions if name in _CHANCE), "")
    if chance:
        raise NotRewrittenError(f"{chance}() gives something else each time")
    found = [token for token in tokens(text, rules) if token.kind not in _SKIPPED]
    if found and found[-1].kind is TokenKind.DELIMITER:
        found.pop()
    if found[0].word not in {"UPDATE", "DELETE"}:
        raise NotRewrittenError("a query stands before the change")
    strange = next((token.text for token in found if token.word in _NOT_READ or token.kind is TokenKind.VARIABLE), "")
    if strange:
        raise NotRewrittenError(f"it names {strange}, whose effect on the rows is not read here")
    return _update(text, found) if kind == "update" else _delete(text, found)


def _update(text: str, found: list[Token]) -> _Parts:
    start = modifiers_end(found, 1)
    at = _first(found, {"SET"}, start)
    if at is None:
        raise NotRewrittenError("its SET is not found")
    ends = _first(found, _TAILS, at) or len(found)
    tail, limited = _tail(text, found, ends)
    sets = _sets(text, found[at + 1 : ends])
    return _Parts(target=_target(text, found[start:at]), tail=tail, limited=limited, sets=sets)


def _delete(text: str, found: list[Token]) -> _Parts:
    start = modifiers_end(found, 1)
    if start >= len(found) or found[start].word != "FROM":
        raise NotRewrittenError("it deletes from more than one table")
    ends = _first(found, _TAILS, start) or len(found)
    tail, limited = _tail(text, found, ends)
    return _Parts(target=_target(text, found[start + 1 : ends]), tail=tail, limited=limited)


def _target(text: str, part: list[Token]) -> str:
    plain = all(token.kind in _NAMES or token.text == "." for token in part)
    if not part or not plain or any(token.word in {"JOIN", "STRAIGHT_JOIN"} for token in part):
        raise NotRewrittenError("it changes more than one table")
    return text[part[0].start : part[-1].end]


def _tail(text: str, found: list[Token], at: int) -> tuple[str, bool]:
    if at >= len(found):
        return "", False
    limit, order = _first(found, {"LIMIT"}, at), _first(found, {"ORDER"}, at)
    if limit is not None and order is None:
        raise NotRewrittenError("LIMIT without ORDER BY may take other rows the next time")
    return f" {text[found[at].start : found[-1].end]}", limit is not None


def _sets(text: str, part: list[Token]) -> tuple[tuple[str, str], ...]:
    sets: list[tuple[str, str]] = []
    seen: set[str] = set()
    for assignment in _split(part):
        sign = next((place for place, token in enumerate(assignment) if token.text in {"=", ":="}), 0)
        if not sign or sign + 1 >= len(assignment):
            raise NotRewrittenError("an assignment in it is not read")
        name, value = _bare(assignment[sign - 1]), assignment[sign + 1 :]
        # A server sets one column after the other, and what follows reads the new value.
        again = next((token.text for token in value if token.kind in _NAMES and _bare(token).lower() in seen), "")
        if again:
            raise NotRewrittenError(f"it reads {again} after it has set it")
        if any(token.word == "DEFAULT" for token in value):
            raise NotRewrittenError("DEFAULT is known to the server alone")
        if "`" in name:
            raise NotRewrittenError("the name of a column holds a backtick")
        seen.add(name.lower())
        sets.append((name, text[value[0].start : value[-1].end]))
    return tuple(sets)


def _split(part: list[Token]) -> list[list[Token]]:
    found: list[list[Token]] = [[]]
    depth = 0
    for token in part:
        depth += (token.text == "(") - (token.text == ")")
        if not depth and token.text == ",":
            found.append([])
        else:
            found[-1].append(token)
    return found


def _bare(token: Token) -> str:
    return token.text[1:-1] if token.kind is TokenKind.NAME else token.text


def _first(found: list[Token], wanted: frozenset[str] | set[str], start: int) -> int | None:
    depth = 0
    for at in range(start, len(found)):
        depth += (found[at].text == "(") - (found[at].text == ")")
        if not depth and found[at].word in wanted:
            return at
    return None


def _require_reads(statement: Statement, texts: tuple[str, ...], rules: LexicalRules, schema: str) -> None:
    for text in texts:
        read = analyse(text, rules, schema=schema)
        if len(read) != 1 or not read[0].is_plain_read or not read[0].tables_known or read[0].hazards:
            why = next((reason for each in read for reason in each.reasons), "its parts are no plain read")
            raise NotRewrittenError(f"the rows cannot be asked for: {why}")
        if not set(read[0].tables) <= set(statement.tables):
            raise NotRewrittenError("its tables are not certain")
