"""Tokens of a text, as one server reads it: lexemes, lexical rules, scanning. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from typing import NamedTuple

import msgspec

from safeconsole.sqltext.vocabulary import Flavour

# --------------------------------------------------------------------------------------------------------------------
# The shapes of single tokens, as one compiled pattern for each way a server reads text.
#
# Everything is possessive or atomic where it repeats, so that no text makes a match go back over what it has read:
# scanning is linear in the text. A shape that fits nothing is one unreadable character, which makes its statement
# unreadable; nothing is skipped.
#
# Source: lexers of MySQL 9.7 and MariaDB 10.11, observed on both; SQLite, "The Tokenizer".


WHITE = r"[ \t-\r]"
# Everything beyond ASCII is a letter here, and what cannot be seen or sent is sorted out afterwards: written as what
# it is not, the set is small, and the pattern compiles in a fraction of the time.
_LETTER = r"[^\x00-#%-/:-@\[-^`{-\x7f]"

INVISIBLE = re.compile(
    "[\u0080-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f"
    "\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff]"
)
"""Spaces, controls and characters without a width outside ASCII: a person cannot see what the server reads."""

SURROGATE = re.compile("[\ud800-\udfff]")
"""Halves of characters: they cannot be sent at all."""


def _quoted(quote: str, *, backslash: bool) -> str:
    """Return the shape of a quoted text in which the quote is doubled, or also escaped by a backslash."""
    if backslash:
        return rf"{quote}[^{quote}\\]*+(?:(?:\\[\s\S]|{quote}{quote})[^{quote}\\]*+)*+{quote}"
    return rf"{quote}[^{quote}]*+(?:{quote}{quote}[^{quote}]*+)*+{quote}"


_NAME = _quoted("`", backslash=False)
_PLAIN_NUMBER = rf"(?:[0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)(?!{_LETTER}|\.)"


_COMMENT = r"/\*(?![!+M])[\s\S]*?\*/|#[^\n]*+|--(?=[\x00-\x20\x7f]|\Z)[^\n]*+"
_SQLITE_COMMENT = r"/\*[\s\S]*?\*/|--[^\n]*+"


def _literal_runs(text: str, comment: str) -> tuple[str, str]:
    """Return the shapes of `1, 'a', NULL` and of `, (1, 'a'), (2, 'b')`, read whole so that bulk costs nothing."""
    first = rf"(?>{text}|{_PLAIN_NUMBER})"
    further = rf"(?>[-+]?{_PLAIN_NUMBER}|{text}|(?i:NULL|TRUE|FALSE|DEFAULT)(?!{_LETTER}|[.(]))"
    # A comment between two literals changes nothing, so it does not end a run either.
    nothing = rf"(?:{WHITE}++|{comment})*+"
    gap = rf"{nothing},{nothing}"
    items = rf"{further}(?:{gap}{further})*+"
    row = rf"\({nothing}{items}{nothing}\)"
    # It begins with the comma: a parenthesis right after a name would be a call, and MUST stay visible.
    return rf"{first}(?:{gap}{further})++", rf",{nothing}{row}(?:{gap}{row})*+"


@cache
def family_pattern(
    *, ansi_quotes: bool, backslash: bool, mariadb: bool, inside: bool, delimiter: str, whole: bool
) -> re.Pattern[str]:
    """
    Return the scanner of MySQL and its sisters.

    Args:
        ansi_quotes: `"` quotes names.
        backslash: a backslash escapes inside strings.
        mariadb: `/*M!` opens an executable comment.
        inside: an executable comment is open, so `*/` closes it.
        delimiter: what ends a statement.
        whole: runs of literals are one token, and runs of what means nothing.
    """
    single, double = _quoted("'", backslash=backslash), _quoted('"', backslash=backslash)
    text = single if ansi_quotes else rf"(?>{single}|{double})"
    name = rf"(?>{_NAME}|{_quoted(chr(34), backslash=False)})" if ansi_quotes else _NAME
    run, rows = _literal_runs(text, _COMMENT)
    opening = r"/\*M?!" if mariadb else r"/\*!"
    shapes = [
        # Inside an executable comment another comment has to be seen, since it is refused.
        ("SPACE", rf"(?:{WHITE}++|{_COMMENT})++" if whole and not inside else rf"{WHITE}++"),
        ("DELIMITER", rf"{re.escape(delimiter)}|\\[Gg]"),
        ("CLOSING", r"\*/" if inside else r"(?!)"),
        ("STRING", rf"[xXbBnN]{single}"),
        ("LIST", rf"{run}|{rows}" if whole else r"(?!)"),
        ("NUMBER", _number()),
        ("UNREADABLE", r"(?<!\.)[0-9]++\."),
        ("WORD", _word(delimiter)),
        ("STRING", text),
        ("NAME", name),
        ("VARIABLE", rf"@(?:[A-Za-z0-9_.$]++|{single}|{double}|{_NAME})"),
        ("SYSTEM", rf"@@(?:{_LETTER}++|{_NAME})"),
        ("OPENING", opening),
        ("HINT", r"/\*\+[\s\S]*?\*/"),
        ("COMMENT", r"#[^\n]*+|--(?=[\x00-\x20\x7f]|\Z)[^\n]*+|/\*(?!\+)[\s\S]*?\*/"),
        ("OPERATOR", r":=|<=>|->>?|<=|>=|<>|!=|<<|>>|\|\||&&|(?!/\*)[-+*/%^&|~!=<>]"),
        ("PUNCTUATION", r"[(),.;{}\[\]:?@]"),
    ]
    if mariadb:
        # NULL; it ends after its two characters, whatever follows.
        shapes.append(("NUMBER", r"\\N"))
    return _compile(shapes)


@cache
def sqlite_pattern(*, delimiter: str, whole: bool) -> re.Pattern[str]:
    """Return the scanner of SQLite; the arguments are those of `family_pattern`."""
    single, double = _quoted("'", backslash=False), _quoted('"', backslash=False)
    run, rows = _literal_runs(single, _SQLITE_COMMENT)
    shapes = [
        ("SPACE", rf"(?:[ \t\n\f\r]++|{_SQLITE_COMMENT})++" if whole else r"[ \t\n\f\r]++"),
        ("DELIMITER", rf"{re.escape(delimiter)}|\\[Gg]"),
        ("STRING", rf"[xX]{single}"),
        ("LIST", rf"{run}|{rows}" if whole else r"(?!)"),
        ("NUMBER", rf"0[xX][0-9A-Fa-f]++(?!{_LETTER})|(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?"),
        ("WORD", rf"(?![0-9$]){_word(delimiter)}"),
        ("STRING", single),
        ("NAME", rf"{double}|{_NAME}|\[[^\]]*+\]"),
        ("PARAMETER", rf"\?[0-9]*+|[@:$]{_LETTER}++"),
        ("COMMENT", r"--[^\n]*+|/\*[\s\S]*?\*/"),
        ("OPERATOR", r"->>?|<=|>=|<>|!=|==|<<|>>|\|\||(?!/\*)[-+*/%&|~=<>]"),
        ("PUNCTUATION", r"[(),.;]"),
    ]
    return _compile(shapes)


def _word(delimiter: str) -> str:
    """Return the shape of a word; a delimiter of letters, such as `$$`, ends it as it does in the client."""
    if delimiter == ";":
        return rf"{_LETTER}++"
    return rf"(?:(?!{re.escape(delimiter)}){_LETTER})++"


def _number() -> str:
    """
    Return the shape of a number of the family.

    `1.e` with no exponent is left to fail as unreadable: old servers drop such a token silently.
    """
    exponent = r"(?:[eE][+-]?[0-9]++)?+"
    return (
        rf"0x[0-9A-Fa-f]++(?!{_LETTER})|0b[01]++(?!{_LETTER})"
        # A name may begin with digits right after a dot.
        rf"|(?<!\.)[0-9]++\.[0-9]*+{exponent}(?![eE])"
        rf"|(?<!{_LETTER})(?<![`\".])\.[0-9]++{exponent}(?![eE])"
        rf"|(?<!\.)[0-9]++[eE][+-]?[0-9]++"
        rf"|(?<!\.)[0-9]++(?!{_LETTER}|\.)"
    )


def _compile(shapes: list[tuple[str, str]]) -> re.Pattern[str]:
    """Return one pattern; a kind that has two shapes gets its second under a name with a mark."""
    seen: set[str] = set()
    parts = []
    for kind, shape in shapes:
        parts.append(f"(?P<{kind}{'_' if kind in seen else ''}>{shape})")
        seen.add(kind)
    return re.compile("|".join([*parts, r"(?P<REST>[\s\S])"]))


# --------------------------------------------------------------------------------------------------------------------
# The values that reading a text makes: the rules it is read by, and its tokens.


class LexicalRules(msgspec.Struct, frozen=True, kw_only=True):
    """
    How one server reads text; the client character set is utf8mb4 always.

    Attributes:
        flavour: the family member.
        version: major * 10000 + minor * 100 + patch (9.7.4 is 90704, MariaDB 10.11.19 is 101119), 0 when unknown.
        ansi_quotes, no_backslash_escapes, pipes_as_concat, oracle: sql_mode words in force.
    """

    flavour: Flavour
    version: int = 0
    ansi_quotes: bool = False
    no_backslash_escapes: bool = False
    pipes_as_concat: bool = False
    oracle: bool = False


class TokenKind(StrEnum):
    """
    What a piece of text is.

    NAME is a quoted name, LIST a run of literals separated by commas, SYSTEM a system variable,
    OPENING and CLOSING the borders of an executable comment that runs.
    """

    SPACE = "space"
    COMMENT = "comment"
    HINT = "hint"
    OPENING = "opening"
    CLOSING = "closing"
    WORD = "word"
    NAME = "name"
    STRING = "string"
    NUMBER = "number"
    LIST = "list"
    VARIABLE = "variable"
    SYSTEM = "system"
    PARAMETER = "parameter"
    OPERATOR = "operator"
    PUNCTUATION = "punctuation"
    DELIMITER = "delimiter"
    UNREADABLE = "unreadable"


class Token(NamedTuple):
    """
    One token; a named tuple because a large text has a million of them.

    Attributes:
        kind: what it is.
        text: exactly as written.
        word: a WORD in upper case where it is ASCII; for UNREADABLE the reason; otherwise "".
        start, end: offsets in the text.
    """

    kind: TokenKind
    text: str
    word: str
    start: int
    end: int


# --------------------------------------------------------------------------------------------------------------------
# One pass over a text: every token, executable comments opened where this server opens them.
#
# One compiled pattern, no recursion. What the server would run is a token, and only that: the content of an
# executable comment that runs here is read as code. What cannot be read is a token too, and says why; it never
# disappears.
#
# Source: MySQL 9.7 and MariaDB 10.11, measured, token by token.


_KINDS = {kind.name: kind for kind in TokenKind} | {f"{kind.name}_": kind for kind in TokenKind}
# What these match is what they are; the others change a state or are looked at again.
_PLAIN: dict[str | None, TokenKind] = {
    name: kind
    for name, kind in _KINDS.items()
    if kind.name in {"SPACE", "LIST", "STRING", "NUMBER", "NAME", "VARIABLE", "OPERATOR", "PUNCTUATION"}
}
_NAMING = frozenset({TokenKind.WORD, TokenKind.SYSTEM, TokenKind.PARAMETER})
# Names hold characters of the basic plane only.
_LAST_IN_NAMES = "\uffff"
_BORDERS = frozenset({TokenKind.OPENING, TokenKind.CLOSING})
_SILENT = frozenset({TokenKind.SPACE, TokenKind.COMMENT})
_BEFORE_HINT = frozenset({"SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE"})
_VERSION = re.compile(r"/\*(M?)!(M?)([0-9]*)")


def scan(
    text: str, rules: LexicalRules, *, start: int = 0, delimiter: str = ";", whole: bool = True, broken: bool = False
) -> Iterator[Token]:
    """
    Yield every token of a text from an offset on, spaces and comments included, without a gap.

    Args:
        delimiter: what ends a statement, beside `\\G`.
        whole: read runs of literals as one LIST token, and spaces with comments as one SPACE.
        broken: the text has halves of characters in it; see `has_halves`.
    """
    inside = False
    plain = {} if broken else _PLAIN
    position, length = start, len(text)
    while position < length:
        for match in _pattern(rules, delimiter, inside=inside, whole=whole).finditer(text, position):
            kind = plain.get(match.lastgroup)
            if kind is not None:
                position = match.end()
                yield Token(kind, match.group(), "", match.start(), position)
                continue
            token = _token(match, text, rules)
            if inside:
                token = _within(token)
            yield token
            position = token.end
            if position != match.end() or inside != _is_inside(token, inside=inside):
                inside = _is_inside(token, inside=inside)
                break
    if inside:
        yield Token(TokenKind.UNREADABLE, "", "an executable comment is not closed", length, length)


def takes_hint(meant: list[Token]) -> bool:
    """
    Whether a server takes `/*+ … */` behind tokens that mean something for a hint; anywhere else it is a comment.

    A hint that is none MUST NOT stand between two tokens: `get_lock/*+ x */('a', 1)` is a call.
    """
    last = [token for token in meant[-4:] if token.kind not in _BORDERS][-2:]
    return bool(last) and last[-1].word in _BEFORE_HINT and (len(last) == 1 or last[-2].text != ".")


def scan_whole(text: str, rules: LexicalRules, *, whole: bool) -> Iterator[Token]:
    """Yield the tokens of a whole text as `scan` does, misplaced hints as the comments that they are."""
    meant: list[Token] = []
    for token in scan(text, rules, whole=whole, broken=has_halves(text)):
        if token.kind is TokenKind.HINT and not takes_hint(meant):
            yield token._replace(kind=TokenKind.COMMENT)
            continue
        yield token
        if token.kind not in _SILENT:
            meant = [*meant[-3:], token]


def has_halves(text: str) -> bool:
    """Whether a text has halves of characters in it, which cannot be sent."""
    return not text.isascii() and SURROGATE.search(text) is not None


def _pattern(rules: LexicalRules, delimiter: str, *, inside: bool, whole: bool) -> re.Pattern[str]:
    if rules.flavour is Flavour.SQLITE:
        return sqlite_pattern(delimiter=delimiter, whole=whole)
    return family_pattern(
        ansi_quotes=rules.ansi_quotes,
        backslash=not rules.no_backslash_escapes,
        mariadb=rules.flavour is Flavour.MARIADB,
        inside=inside,
        delimiter=delimiter,
        whole=whole,
    )


def _is_inside(token: Token, *, inside: bool) -> bool:
    if token.kind is TokenKind.OPENING:
        return True
    return inside and token.kind is not TokenKind.CLOSING


def _token(match: re.Match[str], text: str, rules: LexicalRules) -> Token:
    """Return the token that matched, or an unreadable one where what matched is not to be trusted."""
    kind, found = _KINDS.get(match.lastgroup or "", TokenKind.UNREADABLE), match.group()
    start, end = match.span()
    if found[0] == "$" and kind is TokenKind.WORD and found.count("$") > 1 and rules.flavour is not Flavour.MARIADB:
        # With one more it may open a quoted text; with none it is a name.
        return Token(TokenKind.UNREADABLE, found, "a word that begins with $ and holds another", start, end)
    if kind is TokenKind.WORD and found.isascii():
        return Token(kind, found, found.upper(), start, end)
    if kind is TokenKind.UNREADABLE:
        return _unreadable(text, start, end)
    if SURROGATE.search(found):
        return Token(TokenKind.UNREADABLE, found, "half a character", start, end)
    if kind in _NAMING and (invisible := INVISIBLE.search(found)):
        return Token(TokenKind.UNREADABLE, found, _invisible(text, start + invisible.start()), start, end)
    if kind in _NAMING and max(found) > _LAST_IN_NAMES:
        return Token(TokenKind.UNREADABLE, found, "a character that names cannot have", start, end)
    if kind is TokenKind.OPENING:
        return _opened(Token(kind, found, "", start, end), text, rules)
    return Token(kind, found, found if kind is TokenKind.WORD else "", start, end)


_UNCLOSED = (
    ("'", "a string is not closed"),
    ('"', "a quote is not closed"),
    ("`", "a quoted name is not closed"),
    ("[", "a quoted name is not closed"),
    ("/*", "a comment is not closed"),
)


def _unreadable(text: str, start: int, end: int) -> Token:
    """Return an unreadable token: to the end for what was opened and not closed, else one character."""
    for opening, reason in _UNCLOSED:
        if text.startswith(opening, start):
            return Token(TokenKind.UNREADABLE, text[start:], reason, start, len(text))
    if end - start > 1:
        return Token(TokenKind.UNREADABLE, text[start:end], "a number without its exponent", start, end)
    character = text[start]
    reason = "a backslash outside quotes" if character == "\\" else f"the character U+{ord(character):04X}"
    return Token(TokenKind.UNREADABLE, character, reason, start, start + 1)


def _invisible(text: str, at: int) -> str:
    """Return which character cannot be seen, and where it is: a line and a column, from 1."""
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    character = text[at]
    name = unicodedata.name(character, "an invisible character").lower()
    remedy = "type a plain space" if unicodedata.category(character) == "Zs" else "remove it"
    return f"the character U+{ord(character):04X} ({name}) at line {line}, column {column}: {remedy}"


def _opened(token: Token, text: str, rules: LexicalRules) -> Token:
    """
    Return what the opening of an executable comment is on this server: code, a comment, or unreadable.

    Source: MySQL 9.7 runs five digits and six up to its version; MariaDB 10.11 too, but ignores 50700 to 99999.
    """
    match = _VERSION.match(text, token.start)
    if match is None or match.group(2) or len(match.group(3)) not in {0, 5, 6}:
        return token._replace(kind=TokenKind.UNREADABLE, word="an executable comment of an odd form")
    digits = match.group(3)
    if digits and not rules.version:
        return token._replace(
            kind=TokenKind.UNREADABLE, word="a versioned comment, and the server's version is unknown"
        )
    readings = _readings(digits, rules)
    if len(readings) > 1:
        return token._replace(kind=TokenKind.UNREADABLE, word="a comment whose six digits servers read differently")
    if readings == {True}:
        return token._replace(text=match.group(), end=match.end())
    return _skipped(text, token.start)


def _readings(digits: str, rules: LexicalRules) -> set[bool]:
    """Return whether a versioned comment runs on the server, in every way that the server may read its digits."""
    version = int(digits or 0)
    if rules.flavour is Flavour.MARIADB:
        return {version <= rules.version and not 50700 <= version <= 99999}
    if len(digits) == 6 and rules.version < 90000:
        # Which release learnt six digits was not measured; before it the sixth is code.
        return {False} if min(version, int(digits[:5])) > rules.version else {True, False}
    return {version <= rules.version}


def _skipped(text: str, start: int) -> Token:
    """Return the comment that an executable comment for others is here."""
    end = text.find("*/", start + 2)
    if end < 0:
        return Token(TokenKind.UNREADABLE, text[start:], "a comment is not closed", start, len(text))
    found = text[start : end + 2]
    if "/*" in found[2:]:
        return Token(TokenKind.UNREADABLE, found, "a comment inside an executable comment", start, end + 2)
    return Token(TokenKind.COMMENT, found, "", start, end + 2)


def _within(token: Token) -> Token:
    """Return a token that stands inside an executable comment; servers disagree about nesting, so we refuse it."""
    if token.kind in {TokenKind.COMMENT, TokenKind.HINT, TokenKind.OPENING}:
        return token._replace(kind=TokenKind.UNREADABLE, word="a comment inside an executable comment")
    if token.kind is TokenKind.DELIMITER:
        return token._replace(kind=TokenKind.UNREADABLE, word="a delimiter inside an executable comment")
    return token


# --------------------------------------------------------------------------------------------------------------------
# Reads text as the server would: tokens for showing it, and whether it is finished.
#
# What a text means is `analysis`; the pass itself is `scanning`, the cut into statements `splitting`.


def tokens(text: str, rules: LexicalRules) -> tuple[Token, ...]:
    """Return every token of a text, literals one by one, without a gap; never raises."""
    return tuple(scan_whole(text, rules, whole=False))
