"""Redacts statements for the journal: no passwords, no comments, literals as the policy says.

Works on tokens: a text that cannot be tokenised and mentions a password is left out completely. Too much is removed
rather than too little; the digest beside it in the record still tells statements apart.

Source: MySQL 9.7 reference manual, "Passwords and Logging"; MariaDB knowledge base, "CREATE USER",
"CHANGE MASTER TO", "CREATE SERVER", "wsrep_sst_auth".
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise

from safeconsole.patterns import late
from safeconsole.sqltext.attribution import Attribution
from safeconsole.sqltext.lexer import Token, TokenKind, scan_whole, value_of
from safeconsole.sqltext.literal_rules import Handling, Treatment
from safeconsole.sqltext.structure import RESERVED_EVERYWHERE

SECRET = "'<secret>'"  # noqa: S105 - what stands in its place
DROPPED = "?"
LEFT_OUT = "<left out: it cannot be read, and may hold a password>"

LARGE_CHARACTERS = 256 * 1024
"""Above this size, runs of literals are read and replaced together."""

_SECRET_WORD = late(
    r"PASSW|PASSPHRASE|IDENTIFIED|SECRET|CREDENTIAL|AUTHENTICATION_STRING|CHALLENGE_RESPONSE|GLOBAL_PRIV"
    r"|SLAVE_MASTER_INFO|SST_AUTH|(?:API|ACCESS|PRIVATE|ENCRYPTION|MASTER|SIGNING)_?KEY|(?:AUTH|ACCESS|REFRESH|SESSION|BEARER)_?TOKEN"
    r"|(?<![A-Z])(?:PWD|PASS|PINS?|CVV2?|CVC2?|T?OTP|SSN|TOKEN|CONNECTION|(?:AES|DES)_(?:EN|DE)CRYPT|(?:EN|DE)CRYPT|ENCODE|DECODE)(?![A-Z])"
    r"|MYSQL\W{1,8}USER(?![A-Z])",
    re.IGNORECASE,
)
"""A name or keyword of a statement that holds a secret, or is about one."""

_STEMS = (
    "PASS", "PWD", "IDENTIFIED", "SECRET", "CREDENTIAL", "AUTHENTICATION_STRING", "CHALLENGE_RESPONSE", "GLOBAL_PRIV",
    "SLAVE_MASTER_INFO", "SST_AUTH", "KEY", "TOKEN", "CONNECTION", "CRYPT", "CODE", "MYSQL", "PIN",
    "CVV", "CVC", "OTP", "SSN",
)  # fmt: skip
"""Substrings, one of which is in every secret word: a cheap first test of large texts."""

_ADDRESS = late(r"://[^/\s:@]*:[^/\s@]+@")
"""An address with a password in it."""

_HASHES = frozenset(
    """
    md5 sha sha1 sha2 kdf password old_password ed25519_password encrypt encode decode des_encrypt des_decrypt
    aes_encrypt aes_decrypt create_digest asymmetric_encrypt asymmetric_decrypt asymmetric_sign asymmetric_verify
    create_asymmetric_priv_key create_asymmetric_pub_key validate_password_strength
    """.upper().split()
)
"""Functions that hash or encrypt: their arguments are secrets."""

_HASHING = late(rf"(?<![\w$])(?:{'|'.join(sorted(_HASHES, key=len, reverse=True))})[`\s]*\(", re.IGNORECASE)
_ASSIGNING = late(r"@(?:[\w.$]+|`[^`]*`|'[^']*'|\"[^\"]*\")\s*:?=")
"""An assignment to a user variable, of which an account statement may be put together."""

_QUIET_BEGINNINGS = frozenset(
    {
        "SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "TABLE", "VALUES", "SHOW", "EXPLAIN", "DESC",
        "DESCRIBE", "USE", "BEGIN", "COMMIT", "ROLLBACK",
    }
)  # fmt: skip
"""Beginnings of statements that are no account statement, whatever follows."""

_PREPARES = frozenset({"PREPARE", "EXECUTE"})
_VERBS = ("CREATE", "ALTER", "DROP", "RENAME", "SET", "CHANGE", "START", "CLONE", "GRANT", "REVOKE")
_OBJECTS = (
    "USER", "ROLE", "PASSWORD", "SERVER", "MASTER", "REPLICATION", "SLAVE", "REPLICA", "INSTANCE", "GROUP_REPLICATION",
)  # fmt: skip
_MODIFIERS = frozenset({"OR", "REPLACE", "IF", "NOT", "EXISTS", "DEFAULT", "ALL"})
_BARE = frozenset({TokenKind.WORD, TokenKind.NAME, TokenKind.VARIABLE, TokenKind.OPERATOR})
_IN_FRONT = frozenset({"BY", "USING", "AS"})
_BETWEEN = frozenset({"PASSWORD", "OLD_PASSWORD", "RANDOM", "(", "="})
"""What may stand between one of these and the secret."""

_GIVES = late(r"(?<![A-Z_])(?:BY|USING|AS)(?![A-Z_])|OPTIONS|PAS\w*W|=", re.IGNORECASE)
_COUNTED = late(
    r"MAX_\w+|INTERVAL|HISTORY|ADD|MODIFY|DROP|FAILED_LOGIN_ATTEMPTS|PASSWORD_LOCK_TIME|PORT|:", re.IGNORECASE
)
"""A number after one of these is a count."""

_SPELT_WORDS = 6
_NOWHERE = sys.maxsize
_SHORT_WORD, _LONG_WORD = 3, 6
_WORD = late(r"[A-Za-z_]+")

_INTRODUCES = late(r"['\"=:]")
_OPEN_OPTION = late(r".*_(?:HOST|USER|LOG_FILE|BIND|PORT|LOG_POS|ID)", re.IGNORECASE)
"""Options of replication whose value is no secret, and worth recording."""

_SECRET_KINDS = late(r"user|password|grant|replication|master|slave|replica|server|clone|unknown")
_COMMENT_MARK = late(r"--|#|/\*")
_NAMES_AN_ACCOUNT = frozenset({"USER", "ROLE", "EXISTS", "FOR", "TO", "FROM"})
_ACCOUNT_STATEMENTS = frozenset({"CREATE", "ALTER", "DROP", "GRANT", "REVOKE", "RENAME", "SET", "SHOW", "CHANGE"})
_SILENT = frozenset({TokenKind.SPACE, TokenKind.COMMENT})
_LITERALS = frozenset({TokenKind.STRING, TokenKind.NUMBER, TokenKind.LIST})
_MEANINGLESS = frozenset({*_SILENT, TokenKind.OPENING, TokenKind.CLOSING, TokenKind.HINT})
_COMPARES = frozenset({"LIKE", "GLOB", "REGEXP", "MATCH", "IS", "NOT", "BETWEEN"})
"""Source: MySQL 9.7 reference manual, "String Literals"."""

_QUOTED = late(r"(['\"`]).*(['\"`])", re.DOTALL)
_OF_DATA = late(
    r"(Duplicate entry |(?:[Ii]ncorrect|[Ii]nvalid|[Ww]rong) [^'\"]*value:? |syntax error: |Malformed [^'\"]*: )"
    r"'.*?'( for key | for (?:column|function) |$| at | in )",
    re.DOTALL,
)
"""In a message: what a row holds, and not what the statement says."""

SHORTEST_QUOTED = 3
"""Length of a value that is searched for in a message outside quotes: shorter ones are too common."""

SHORTEST_FRAGMENT = 8
"""Characters of a part of a value that is looked for in a message: a shorter one is part of ordinary words."""

_IN_TEXT = late(r"[^\s'\"`,()=]{3,}")
_QUOTES = frozenset("'\"`")
_ENDS_QUOTED = late(r"['\"`]|\.\.\.|$")
_PLAIN_NUMBER = late(r"[0-9.]+(?:[eE][+-]?[0-9]+)?")


def redacted(sql: str, kind: str, handling: Handling) -> str:
    """Return a statement redacted for the journal; never raises for its content.

    Args:
        sql: one statement, exactly as written.
        kind: its kind, "unknown" when it was not recognised.
        handling: how it is written down.
    """
    secret = is_secret_bearing(sql)
    kept = handling.literals.strictest is Treatment.KEEP
    suspicious = _is_suspicious(sql)
    if kept and not (secret or suspicious or _COMMENT_MARK.search(sql)):
        return sql
    tokens = list(scan_whole(sql, handling.rules, whole=len(sql) > LARGE_CHARACTERS))
    if any(token.kind is TokenKind.UNREADABLE for token in tokens):
        suspect = secret or suspicious or not kept or (kind != "unknown" and bool(_SECRET_KINDS.search(kind)))
        return LEFT_OUT if suspect else sql
    return "".join(_Writer(tokens, handling, secret=secret).written()).strip()


def may_hold_secret(text: str) -> bool:
    """Return whether a text names a secret, or uses a function or clause for secrets."""
    return is_secret_bearing(text) or _is_suspicious(text)


def _is_suspicious(sql: str) -> bool:
    first = _WORD.search(sql)
    calm = first is None or first.group().upper() in _QUIET_BEGINNINGS
    if not calm and is_about_accounts(_WORD.findall(sql[:LARGE_CHARACTERS])):
        return True
    if first is not None and first.group().upper() in _PREPARES:
        return True
    return bool(("(" in sql and _HASHING.search(sql)) or ("@" in sql and _ASSIGNING.search(sql)))


def is_about_accounts(words: Sequence[str]) -> bool:
    """Return whether a statement begins like one that creates or changes accounts, also misspelt."""
    upper = [word.upper() for word in words]
    if not upper or upper[0] in _QUIET_BEGINNINGS:
        return False
    for place, word in enumerate(upper[:-1]):
        if upper[place + 1] in {*_IN_FRONT, "WITH", "VIA"} and _is_nearly(word, "IDENTIFIED"):
            return True
    if not any(_is_nearly(upper[0], verb) for verb in _VERBS):
        return False
    if any(_is_nearly(upper[0], verb) for verb in ("GRANT", "REVOKE")):
        return True
    about = next((word for word in upper[1:_SPELT_WORDS] if word not in _MODIFIERS), "")
    return any(_is_nearly(about, each) for each in _OBJECTS)


def _is_nearly(word: str, right: str) -> bool:
    most = 2 if len(right) > _LONG_WORD else 1 if len(right) > _SHORT_WORD else 0
    if word == right or abs(len(word) - len(right)) > most:
        return word == right
    above: list[int] = []
    row = list(range(len(right) + 1))
    for i, letter in enumerate(word, 1):
        earlier, above, row = above, row, [i]
        for j, other in enumerate(right, 1):
            cost = min(above[j] + 1, row[-1] + 1, above[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == right[j - 2] and word[i - 2] == other:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
    return row[-1] <= most


def hides_something(shown: str) -> bool:
    """Return whether redaction removed something that the server would execute."""
    return SECRET in shown or shown == LEFT_OUT


def is_secret_bearing(sql: str) -> bool:
    """Return whether a statement mentions a name of passwords or keys."""
    return _secret_word_in(sql) is not None or ("://" in sql and _ADDRESS.search(sql) is not None)


def _secret_word_in(text: str) -> re.Match[str] | None:
    upper = text.upper()
    return _SECRET_WORD.search(text) if any(stem in upper for stem in _STEMS) else None


def _is_secret_inside(literal: str) -> bool:
    found = _secret_word_in(literal)
    if found is not None and _INTRODUCES.search(literal, found.end(), len(literal) - 1):
        return True
    return "://" in literal and _ADDRESS.search(literal) is not None


def redacted_message(message: str, sql: str, handling: Handling) -> str:
    """Return a server's error message without what `redacted` keeps out of its statement; never raises.

    Servers quote the statement in it, whole values or the rest of the text from somewhere on, and cut at some length.
    What the statement has no secret of, and a message's own words and names, stay as the server sent them.

    Args:
        sql: the statement it is about.
        handling: how the statement is written down.
    """
    secret = is_secret_bearing(sql)
    kept = handling.literals.strictest is Treatment.KEEP
    suspicious = _is_suspicious(sql)
    # A key can be named as secrets are where the statement names no column.
    about_secret = secret or is_secret_bearing(message)
    if kept and not (about_secret or suspicious or _COMMENT_MARK.search(sql)):
        return message
    tokens = list(scan_whole(sql, handling.rules, whole=len(sql) > LARGE_CHARACTERS))
    if any(token.kind is TokenKind.UNREADABLE for token in tokens):
        return _without_all(message, sql) if secret or suspicious or not kept else message
    writer = _Writer(tokens, handling, secret=secret)
    hidden = sorted(writer.hidden(), key=len, reverse=True)
    for text in hidden:
        message = _without(message, text)
    message = _without_fragments(message, "\0".join(hidden))
    if about_secret or not kept:
        message = _OF_DATA.sub(lambda found: f"{found[1]}'{DROPPED}'{found[2]}", message)
    return message


def _without_all(message: str, sql: str) -> str:
    message = _QUOTED.sub(f"'{DROPPED}'", message)
    rest = sql[min((found.start() for found in re.finditer("['\"`]", sql)), default=0) :]
    for word in sorted(set(_IN_TEXT.findall(rest)), key=len, reverse=True):
        message = _without(message, word)
    return _without_fragments(message, rest)


def _without(message: str, text: str) -> str:
    if text in message:
        message = re.sub(rf"(['\"`]){re.escape(text)}\1", f"'{DROPPED}'", message)
        if len(text) >= SHORTEST_QUOTED:
            before, after = (r"(?<!\w)" if text[0].isalnum() else ""), (r"(?!\w)" if text[-1].isalnum() else "")
            shown = f"'{DROPPED}'" if text[0] in _QUOTES and text[0] == text[-1] else DROPPED
            message = re.sub(before + re.escape(text) + after, shown, message)
    if text[:SHORTEST_QUOTED] not in message or len(text) <= SHORTEST_QUOTED:
        return message
    for end in [found.start() for found in _ENDS_QUOTED.finditer(message)][::-1]:
        sizes = range(min(len(text) - 1, end), SHORTEST_QUOTED - 1, -1)
        size = next((size for size in sizes if message.endswith(text[:size], 0, end)), 0)
        message = message[: end - size] + DROPPED + message[end:] if size else message
    return message


def _without_fragments(message: str, hidden: str) -> str:
    written, start = "", 0
    while start <= len(message) - SHORTEST_FRAGMENT:
        end = start + SHORTEST_FRAGMENT
        if message[start:end] not in hidden:
            written, start = written + message[start], start + 1
            continue
        while end < len(message) and message[start : end + 1] in hidden:
            end += 1
        written, start = written + DROPPED, end
    return written + message[start:]


class _Writer:
    def __init__(self, tokens: list[Token], handling: Handling, *, secret: bool) -> None:
        self._tokens = tokens
        self._handling = handling
        self._secret = secret
        told = [token for token in tokens if token.kind not in _MEANINGLESS]
        accounts = is_about_accounts([token.word for token in told if token.kind is TokenKind.WORD])
        self._gone = frozenset(
            (*_hashed(told), *_assigned(told), *_prepared(told), *(_of_accounts(told) if accounts else ()))
        )
        self._cut = _cut(told) if accounts else _NOWHERE
        self._indexes: dict[int, int] = {}
        meant: list[Token] = []
        if handling.literals.rules or secret:
            for token in tokens:
                if token.kind not in _MEANINGLESS:
                    self._indexes[token.start] = len(meant)
                    after_dot = bool(meant) and meant[-1].text == "."
                    meant.append(token._replace(word="") if after_dot and token.kind is TokenKind.WORD else token)
        self._attribution = Attribution(meant)

    def written(self) -> Iterable[str]:
        before: list[Token] = []
        for number, token in enumerate(self._tokens):
            if token.start >= self._cut:
                yield SECRET
                return
            if token.kind is TokenKind.COMMENT:
                yield " "
            elif token.kind is TokenKind.SPACE:
                yield token.text
            else:
                yield self._one(token, before, self._tokens[number + 1 : number + 2])
                before.append(token)

    def hidden(self) -> set[str]:
        """Return the redacted literals, as texts in the statement and as values."""
        rules = self._handling.rules
        texts: set[str] = set()
        before: list[Token] = []
        for number, token in enumerate(self._tokens):
            if token.kind is TokenKind.SPACE:
                continue
            if token.kind is TokenKind.COMMENT:
                texts.update((token.text, token.text.strip("-#/*! \t\r\n")))
                continue
            if (
                token.start >= self._cut
                or self._one(token, before, self._tokens[number + 1 : number + 2]) != token.text
            ):
                texts.update((token.text, value_of(token, rules), token.text.strip("'\"`")))
            before.append(token)
        if self._cut != _NOWHERE:
            texts.add("".join(token.text for token in self._tokens if token.start >= self._cut))
        # A bracket or a comma behind a cut is nobody's secret.
        return {text for text in texts if any(character.isalnum() for character in text)}

    def _one(self, token: Token, before: list[Token], after: list[Token]) -> str:
        if token.start in self._gone or (_may_be_secret(token) and _is_secret_inside(token.text)):
            return SECRET
        if self._secret and (_holds_secret(token, before, after) or self._is_secret_number(token)):
            return SECRET
        if not self._is_literal(token, before) or _is_account(token, before, after):
            return token.text
        match self._treatment(token):
            case Treatment.KEEP:
                return token.text
            case Treatment.HASH:
                return self._handling.key.mark_of(value_of(token, self._handling.rules))
            case Treatment.DROP:
                return DROPPED

    def _is_literal(self, token: Token, before: list[Token]) -> bool:
        if token.kind in _LITERALS:
            return True
        may_be_text = self._handling.rules.dialect.lexis.name_may_be_text
        quoted = may_be_text and token.kind is TokenKind.NAME and token.text.startswith('"')
        return quoted and bool(before) and (before[-1].kind is TokenKind.OPERATOR or before[-1].word in _COMPARES)

    def _is_secret_number(self, token: Token) -> bool:
        if token.kind is not TokenKind.NUMBER or token.start not in self._indexes:
            return False
        columns = self._attribution.columns(self._indexes[token.start])
        return any(_SECRET_WORD.search(column) for column in columns or ())

    def _treatment(self, token: Token) -> Treatment:
        literals = self._handling.literals
        if not literals.rules:
            return literals.otherwise
        columns = None if token.kind is TokenKind.LIST else self._attribution.columns(self._indexes[token.start])
        return literals.strictest if columns is None else literals.of_columns(columns)


def _may_be_secret(token: Token) -> bool:
    quoted_as_name = token.kind is TokenKind.NAME and token.text.startswith('"')
    return token.kind in {TokenKind.STRING, TokenKind.LIST} or quoted_as_name


def _holds_secret(token: Token, before: list[Token], after: list[Token]) -> bool:
    if token.kind is TokenKind.NUMBER:
        return not _PLAIN_NUMBER.fullmatch(token.text) or _compared_with_secret(before)
    return _may_be_secret(token) and not _is_account(token, before, after)


def _compared_with_secret(before: list[Token]) -> bool:
    operators = 0
    while operators < min(2, len(before)) and before[-1 - operators].kind is TokenKind.OPERATOR:
        operators += 1
    named = before[-1 - operators] if 0 < operators < len(before) else None
    return named is not None and _SECRET_WORD.search(named.text) is not None


def _is_account(token: Token, before: list[Token], after: list[Token]) -> bool:
    if token.kind is not TokenKind.STRING or not before or before[0].word not in _ACCOUNT_STATEMENTS:
        return False
    if after and after[0].text.startswith("@"):
        return True
    if before[-1].word in _NAMES_AN_ACCOUNT:
        # A misspelt SET PASSWORD is not run, and is recorded.
        return len(before) < 2 or before[-2].word != "PASSWORD" or before[-1].word == "FOR"
    return len(before) > 1 and before[-1].text == "=" and _OPEN_OPTION.fullmatch(before[-2].word) is not None


def _is_value(token: Token) -> bool:
    return token.kind is TokenKind.NUMBER or _may_be_secret(token)


def _hashed(tokens: Sequence[Token]) -> Iterable[int]:
    depth = inside = 0
    for before, token in pairwise(tokens):
        if token.text == "(":
            depth += 1
            if not inside and before.text.strip('`"').upper() in _HASHES:
                inside = depth
        elif token.text == ")":
            inside = 0 if depth == inside else inside
            depth -= 1
        elif inside and _is_value(token):
            yield token.start


def _assigned(tokens: Sequence[Token]) -> Iterable[int]:
    for place, token in enumerate(tokens):
        following = tokens[place + 1].text if place + 1 < len(tokens) else ""
        if token.kind not in {TokenKind.VARIABLE, TokenKind.PARAMETER} or following not in {"=", ":="}:
            continue
        depth = 0
        for other in tokens[place + 2 :]:
            depth += (other.text == "(") - (other.text == ")")
            ends = other.text in {",", ";"} or (other.kind is TokenKind.WORD and other.word in RESERVED_EVERYWHERE)
            if depth < 0 or (depth == 0 and ends):
                break
            if _may_be_secret(other):
                yield other.start


def _prepared(tokens: Sequence[Token]) -> Iterable[int]:
    if tokens and tokens[0].word in _PREPARES:
        yield from (token.start for token in tokens if _may_be_secret(token) and _is_suspicious(token.text))


def _of_accounts(tokens: Sequence[Token]) -> Iterable[int]:
    for place, token in enumerate(tokens):
        before = [*tokens[: min(place, 1)], *tokens[max(1, place - 2) : place]]
        if token.kind is TokenKind.NUMBER:
            previous = before[-1].text if before else ""
            option = before[-2].text if previous == "=" and len(before) > 1 else ""
            if _COUNTED.fullmatch(previous) or ("_" in option and not _is_called_secret(option)):
                continue
            yield token.start
        elif _may_be_secret(token) and (
            _is_given(tokens, place) or not _is_account(token, before, [*tokens[place + 1 : place + 2]])
        ):
            yield token.start


def _is_given(tokens: Sequence[Token], place: int) -> bool:
    place -= 1
    while place >= 0 and (tokens[place].word or tokens[place].text) in _BETWEEN:
        place -= 1
    return place >= 0 and tokens[place].word in _IN_FRONT


def _cut(tokens: Sequence[Token]) -> int:
    words = [token.word for token in tokens[:_SPELT_WORDS]]
    sets_password = len(words) > 1 and words[0] == "SET" and _is_nearly(words[1], "PASSWORD")
    for place, token in enumerate(tokens):
        option = tokens[place - 1].text if place else ""
        gives = token.word in _IN_FRONT or (sets_password and (token.text == "=" or token.word == "TO"))
        if not (gives or (token.text == "=" and _is_called_secret(option))):
            continue
        after = place + 1
        while after < len(tokens) and (tokens[after].word or tokens[after].text) in _BETWEEN:
            after += 1
        if after < len(tokens) and tokens[after].kind in _BARE and not tokens[after].text.startswith("_"):
            return tokens[after].start
    return _NOWHERE


def _is_called_secret(option: str) -> bool:
    parts = option.upper().split("_")
    return _SECRET_WORD.search(option) is not None or any(_is_nearly(part, "PASSWORD") for part in parts)
