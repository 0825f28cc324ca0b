"""Named queries: SQL files that a team reviews, run by name with values as parameters.

A file `NAME.sql` begins with comments: the first says what it is for, and each `-- :NAME [TYPE] [= DEFAULT] [WORDS]`
declares a parameter. In its text `:NAME` takes the value as a literal; nothing of a value is ever read as SQL. The
finished text is judged like any other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from safeconsole.errors import ConfigurationError
from safeconsole.sqltext.lexer import LexicalRules, Token, TokenKind, tokens
from safeconsole.sqltext.literals import Number, Value, literal_of

LARGEST_BYTES = 1024 * 1024
ENDING = ".sql"

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*\Z")
_COMMENT = re.compile(r"\s*(?:--(?=\s|$)|#)\s*(.*)")
_DECLARED = re.compile(
    r":([A-Za-z_]\w*)(?:\s+(text|integer|decimal)(\.\.\.)?(?=\s|$))?(?:\s+=\s*('[^']*'|\S+))?\s*(.*)", re.IGNORECASE
)
_WORDS = {
    "integer": (re.compile(r"[+-]?\d+"), "a whole number"),
    "decimal": (re.compile(r"[+-]?\d+(?:\.\d+)?"), "a number"),
}


class QueryParameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of a named query.

    Attributes:
        type_: "text", "integer" or "decimal".
        several: whether its value is a list, separated by commas.
        default: None where a value must be given.
        about: what it means, or "".
    """

    name: str
    type_: str = "text"
    several: bool = False
    default: str | None = None
    about: str = ""

    @property
    def usage(self) -> str:
        """The parameter as it stands in a line of usage."""
        shown = self.name.upper() + ("…" if self.several else "")
        return shown if self.default is None else f"[{shown}={self.default}]"


class NamedQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One named query.

    Attributes:
        about: the first line of its comments, or "".
        digest: hexadecimal SHA-256 of the file.
    """

    name: str
    text: str
    about: str
    digest: str
    parameters: tuple[QueryParameter, ...] = ()

    @property
    def usage(self) -> str:
        return " ".join((self.name, *(each.usage for each in self.parameters)))


def named_queries(directory: str) -> dict[str, NamedQuery | ConfigurationError]:
    """Return all queries of a directory by name, sorted; for an unusable file the reason.

    Raises ConfigurationError: no directory is configured, or it cannot be read.
    """
    found: dict[str, NamedQuery | ConfigurationError] = {}
    for name in query_names(directory):
        try:
            found[name] = named_query(directory, name)
        except ConfigurationError as error:
            found[name] = error
    return found


def query_names(directory: str) -> list[str]:
    """Return the names in a directory, sorted. Raises as `named_queries`."""
    if not directory:
        raise ConfigurationError(
            "no directory of named queries is configured", instead='[queries] directory = "/etc/safeconsole/queries"'
        )
    try:
        return sorted(path.stem for path in Path(directory).expanduser().glob(f"*{ENDING}") if _NAME.match(path.stem))
    except OSError as error:
        raise ConfigurationError(f"named queries in {directory} cannot be read: {error.strerror}") from error


def named_query(directory: str, name: str) -> NamedQuery:
    """Return one query. Raises ConfigurationError: there is none of that name, or its file cannot be used."""
    known = query_names(directory)
    if name not in known:
        shown = ", ".join(known[:10]) + (", …" if len(known) > 10 else "")
        raise ConfigurationError(f"no query is named {name}", instead=f"named are: {shown or 'none'}")
    path = Path(directory).expanduser() / f"{name}{ENDING}"
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
        if len(data) > LARGEST_BYTES:
            raise ConfigurationError(f"{path} is larger than {LARGEST_BYTES:,} bytes")
        return _read(name, data)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text: byte {error.start}") from None


def _read(name: str, data: bytes) -> NamedQuery:
    text = data.decode("utf-8-sig")
    about, parameters = "", list[QueryParameter]()
    for line in text.splitlines():
        comment = _COMMENT.fullmatch(line)
        if comment is None:
            if line.strip():
                break
            continue
        declared = _DECLARED.fullmatch(comment[1])
        if declared is None:
            about = about or comment[1].strip()
            continue
        name_, type_, several, default, words = declared.groups()
        parameters.append(
            QueryParameter(
                name=name_.lower(),
                type_=(type_ or "text").lower(),
                several=bool(several),
                default=None if default is None else default.strip("'"),
                about=words,
            )
        )
    names = [each.name for each in parameters]
    twice = next((each for each in names if names.count(each) > 1), "")
    if twice:
        raise ConfigurationError(f"the query {name} declares :{twice} twice")
    digest = hashlib.sha256(data).hexdigest()
    return NamedQuery(name=name, text=text, about=about, digest=digest, parameters=tuple(parameters))


def filled(query: NamedQuery, given: Sequence[str], rules: LexicalRules) -> str:
    """Return a query's text with values as literals.

    Args:
        given: values in the order of the parameters, or NAME=VALUE.

    Raises:
        ConfigurationError: values and parameters do not fit together, or the file uses a parameter it does not declare.
    """
    values = _values(query, given)
    parts, position, used = [], 0, set()
    for start, end, name in _places(query.text, rules):
        if name not in values:
            raise ConfigurationError(f"the query {query.name} uses :{name} and does not declare it: -- :{name} text")
        used.add(name)
        parts += [query.text[position:start], " ", _literal(query, name, values[name], rules), " "]
        position = end
    unused = [each.name for each in query.parameters if each.name not in used]
    if unused:
        raise ConfigurationError(f"the query {query.name} declares :{', :'.join(unused)} and does not use it")
    return "".join((*parts, query.text[position:]))


def _places(text: str, rules: LexicalRules) -> list[tuple[int, int, str]]:
    found = tokens(text, rules)
    places = []
    for token, after in zip(found, (*found[1:], None), strict=True):
        if token.kind is TokenKind.PARAMETER and token.text[:1] == ":":
            places.append((token.start, token.end, token.text[1:].lower()))
        elif token.text == ":" and token.kind is TokenKind.PUNCTUATION and _is_name(after):
            assert after is not None
            places.append((token.start, after.end, after.text.lower()))
    return places


def _is_name(token: Token | None) -> bool:
    return token is not None and token.kind is TokenKind.WORD


def _values(query: NamedQuery, given: Sequence[str]) -> Mapping[str, str]:
    parameters = {each.name: each for each in query.parameters}
    values: dict[str, str] = {}
    for value in given:
        name, equals, rest = value.partition("=")
        if not equals or name.lower() not in parameters:
            name = next((each for each in parameters if each not in values), "")
            rest = value
        if not name:
            raise ConfigurationError(f"{query.name} takes fewer values", instead=f"usage: {query.usage}")
        if name.lower() in values:
            raise ConfigurationError(f"{query.name} is given {name} twice", instead=f"usage: {query.usage}")
        values[name.lower()] = rest
    for parameter in query.parameters:
        if parameter.name not in values and parameter.default is not None:
            values[parameter.name] = parameter.default
    missing = [name for name in parameters if name not in values]
    if missing:
        raise ConfigurationError(f"{query.name} needs {', '.join(missing)}", instead=f"usage: {query.usage}")
    return values


def _literal(query: NamedQuery, name: str, text: str, rules: LexicalRules) -> str:
    parameter = next(each for each in query.parameters if each.name == name)
    parts = [part.strip() for part in text.split(",")] if parameter.several else [text]
    return ", ".join(literal_of(_value(parameter, part), rules) for part in parts)


def _value(parameter: QueryParameter, text: str) -> Value:
    if "\0" in text:
        raise ConfigurationError(f"the value of {parameter.name} holds a NUL character")
    if parameter.type_ not in _WORDS:
        return text
    pattern, what = _WORDS[parameter.type_]
    if not pattern.fullmatch(text):
        raise ConfigurationError(f"{parameter.name} is {what}, and {text!r} is none")
    return Number(text.removeprefix("+"))
