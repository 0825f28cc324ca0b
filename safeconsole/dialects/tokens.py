"""The shapes of single tokens, as one compiled pattern for each way a server reads text.

Everything is possessive or atomic where it repeats, so that no text makes a match go back over what it has read:
scanning is linear in the text. A shape that fits nothing is one unreadable character, which makes its statement
unreadable; nothing is skipped.

Source: lexers of MySQL 9.7 and MariaDB 10.11, observed on both; SQLite, "The Tokenizer".
"""

from __future__ import annotations

import re
from functools import cache

from safeconsole.sqltext.dialect import Scanned

WHITE = r"[ \t-\r]"
# Everything beyond ASCII is a letter here, and what cannot be seen or sent is sorted out afterwards: written as what
# it is not, the set is small, and the pattern compiles in a fraction of the time.
_LETTER = r"[^\x00-#%-/:-@\[-^`{-\x7f]"


def _quoted(quote: str, *, backslash: bool) -> str:
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
def mysql_pattern(scanned: Scanned) -> re.Pattern[str]:
    return _compile(_family_shapes(scanned, opening=r"/\*!"))


@cache
def mariadb_pattern(scanned: Scanned) -> re.Pattern[str]:
    """Return the scanner of MariaDB: `/*M!` opens an executable comment too."""
    # NULL; it ends after its two characters, whatever follows.
    return _compile([*_family_shapes(scanned, opening=r"/\*M?!"), ("NUMBER", r"\\N")])


def _family_shapes(scanned: Scanned, *, opening: str) -> list[tuple[str, str]]:
    ansi_quotes, backslash, inside, delimiter, whole = scanned
    single, double = _quoted("'", backslash=backslash), _quoted('"', backslash=backslash)
    text = single if ansi_quotes else rf"(?>{single}|{double})"
    name = rf"(?>{_NAME}|{_quoted(chr(34), backslash=False)})" if ansi_quotes else _NAME
    run, rows = _literal_runs(text, _COMMENT)
    return [
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


@cache
def sqlite_pattern(scanned: Scanned) -> re.Pattern[str]:
    """Return the scanner of SQLite, which knows neither modes of quoting nor executable comments."""
    delimiter, whole = scanned.delimiter, scanned.whole
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
    """Return the shape of a number of the family.

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
