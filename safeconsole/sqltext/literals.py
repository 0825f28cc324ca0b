"""Values as literals of a server that reads text by its rules. Pure."""

from __future__ import annotations

from safeconsole.sqltext.lexer import LexicalRules

Value = int | float | str | bytes | None


class Number(str):
    """A decimal number as text."""

    __slots__ = ()


_ESCAPES = str.maketrans({"\\": "\\\\", "'": "''", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"})
_ESCAPED = str.maketrans("", "", "\n\r\t\0")


def literal_of(value: Value, rules: LexicalRules) -> str:
    """Return a value as a literal."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, Number | int):
        # Two signs in a row would begin a comment.
        return str(value) if str(value)[:1].isdigit() else f" {value}"
    if isinstance(value, float):
        text = repr(value)
        return text if "e" in text else f"{text}e0"
    escaped = value.replace("'", "''")
    return f"'{escaped.replace(chr(92), chr(92) * 2) if rules.escapes else escaped}'"


def readable_literal(text: str, rules: LexicalRules) -> str:
    """Return a text as a literal on one line; one with characters that nobody would see is written as its bytes."""
    seen = text.translate(_ESCAPED) if rules.escapes else text
    if not seen.isprintable():
        digits = text.encode("utf-8", "surrogatepass").hex()
        return f"_utf8mb4 x'{digits}'" if rules.dialect.lexis.backslash_escapes else f"CAST(x'{digits}' AS TEXT)"
    return f"'{text.translate(_ESCAPES)}'" if rules.escapes else literal_of(text, rules)
