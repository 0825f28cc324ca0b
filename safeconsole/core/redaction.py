"""
What a statement may say in the journal: no password, no comment, and literals as the policy wants them.

Works on tokens and never on guesses about where a text ends: a text that cannot be read as tokens and
mentions a password is left out as a whole. Too much is taken rather than too little; the digest of the
statement stands beside it in the record, so that nothing is lost for telling statements apart.

Source: MySQL 9.7 reference manual, "Passwords and Logging"; MariaDB knowledge base, "CREATE USER",
"CHANGE MASTER TO", "CREATE SERVER".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Literal

from safeconsole.core.lexicon import LexicalRules, Token, TokenKind
from safeconsole.core.scanning import scan

SECRET = "'<secret>'"  # noqa: S105 - what stands in its place
DROPPED = "?"
LEFT_OUT = "<left out: it cannot be read, and may hold a password>"

LARGE_CHARACTERS = 256 * 1024
"""Above this, runs of literals are read and replaced as a whole."""

_SECRET_WORD = re.compile(
    r"PASSW|PASSPHRASE|IDENTIFIED|SECRET|CREDENTIAL|AUTHENTICATION_STRING|CHALLENGE_RESPONSE|GLOBAL_PRIV"
    r"|SLAVE_MASTER_INFO|(?:API|ACCESS|PRIVATE|ENCRYPTION|MASTER|SIGNING)_?KEY|(?:AUTH|ACCESS|REFRESH|SESSION|BEARER)_?TOKEN"
    r"|(?<![A-Z])(?:PWD|PASS|TOKEN|CONNECTION|(?:AES|DES)_(?:EN|DE)CRYPT|(?:EN|DE)CRYPT|ENCODE|DECODE)(?![A-Z])"
    r"|MYSQL\W{1,8}USER(?![A-Z])",
    re.IGNORECASE,
)
"""In a name or a keyword: the statement holds a secret, or is about one."""

_STEMS = (
    "PASS", "PWD", "IDENTIFIED", "SECRET", "CREDENTIAL", "AUTHENTICATION_STRING", "CHALLENGE_RESPONSE", "GLOBAL_PRIV",
    "SLAVE_MASTER_INFO", "KEY", "TOKEN", "CONNECTION", "CRYPT", "CODE", "MYSQL",
)  # fmt: skip
"""Every secret word holds one of these: looking for them first makes a text of megabytes cheap."""

_ADDRESS = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
"""An address with a password in it."""

_INTRODUCES = re.compile(r"['\"=:]")
_OPEN_OPTION = re.compile(r".*_(?:HOST|USER|LOG_FILE|BIND)", re.IGNORECASE)
"""Options of replication whose value is no secret, and says what was pointed where."""

_SECRET_KINDS = re.compile(r"user|password|grant|replication|master|slave|replica|server|clone|unknown")
_COMMENT_MARK = re.compile(r"--|#|/\*")
_NAMES_AN_ACCOUNT = frozenset({"USER", "ROLE", "EXISTS", "FOR", "TO", "FROM"})
_ACCOUNT_STATEMENTS = frozenset({"CREATE", "ALTER", "DROP", "GRANT", "REVOKE", "RENAME", "SET", "SHOW", "CHANGE"})
_SILENT = frozenset({TokenKind.SPACE, TokenKind.COMMENT})
_LITERALS = frozenset({TokenKind.STRING, TokenKind.NUMBER, TokenKind.LIST})
_PLAIN_NUMBER = re.compile(r"[0-9.]+(?:[eE][+-]?[0-9]+)?")

Literals = Literal["keep", "hash", "drop"]


def redacted(sql: str, kind: str, rules: LexicalRules, literals: Literals = "keep") -> str:
    """
    Return a statement as the journal may hold it; never raises for what it says.

    Args:
        sql: one statement, exactly as written.
        kind: its kind, "unknown" when it was not recognised.
        rules: how its server reads text.
        literals: "keep" keeps those that are no secret, "hash" leaves the first 12 digits of each one's SHA-256 (the
            same value can then be followed; a value that can be guessed can be confirmed), "drop" leaves `?`.
    """
    secret = is_secret_bearing(sql)
    if literals == "keep" and not secret and not _COMMENT_MARK.search(sql):
        return sql
    tokens = list(scan(sql, rules, whole=len(sql) > LARGE_CHARACTERS))
    if any(token.kind is TokenKind.UNREADABLE for token in tokens):
        suspect = secret or literals != "keep" or (kind != "unknown" and bool(_SECRET_KINDS.search(kind)))
        return LEFT_OUT if suspect else sql
    return "".join(_written(tokens, secret=secret, literals=literals)).strip()


def is_secret_bearing(sql: str) -> bool:
    """Return whether a statement mentions what passwords and keys are called."""
    return _secret_word_in(sql) is not None or ("://" in sql and _ADDRESS.search(sql) is not None)


def _secret_word_in(text: str) -> re.Match[str] | None:
    upper = text.upper()
    return _SECRET_WORD.search(text) if any(stem in upper for stem in _STEMS) else None


def _is_secret_inside(literal: str) -> bool:
    """Return whether a literal is itself a statement, a document or an address that carries a secret."""
    found = _secret_word_in(literal)
    if found is not None and _INTRODUCES.search(literal, found.end(), len(literal) - 1):
        return True
    return "://" in literal and _ADDRESS.search(literal) is not None


def redacted_message(message: str, sql: str, literals: Literals = "keep") -> str:
    """
    Return a server's error message as the journal may hold it: servers quote the statement in it.

    Args:
        message: the server's text.
        sql: the statement it is about.
        literals: as for `redacted`.
    """
    quotable = literals == "keep" and not _COMMENT_MARK.search(sql)
    if quotable and not is_secret_bearing(sql) and not is_secret_bearing(message):
        return message
    # From the first quote to the last one: what is quoted may hold quotes itself.
    return re.sub(r"(['\"`]).*(['\"`])", f"'{DROPPED}'", message, flags=re.DOTALL)


def _written(tokens: list[Token], *, secret: bool, literals: Literals) -> Iterable[str]:
    before: list[Token] = []
    for number, token in enumerate(tokens):
        if token.kind is TokenKind.COMMENT:
            yield " "
        elif token.kind is TokenKind.SPACE:
            yield token.text
        else:
            yield _one(token, before, tokens[number + 1 : number + 2], secret=secret, literals=literals)
            before.append(token)


def _one(token: Token, before: list[Token], after: list[Token], *, secret: bool, literals: Literals) -> str:
    if _may_be_secret(token) and _is_secret_inside(token.text):
        return SECRET
    if secret and _holds_secret(token, before, after):
        return SECRET
    if token.kind not in _LITERALS or literals == "keep" or _is_account(token, before, after):
        return token.text
    if literals == "hash":
        return f"'#{hashlib.sha256(token.text.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}'"
    return DROPPED


def _may_be_secret(token: Token) -> bool:
    """Return whether a token could be a text literal, also where our idea of the sql_mode is wrong."""
    quoted_as_name = token.kind is TokenKind.NAME and token.text.startswith('"')
    return token.kind in {TokenKind.STRING, TokenKind.LIST} or quoted_as_name


def _holds_secret(token: Token, before: list[Token], after: list[Token]) -> bool:
    if token.kind is TokenKind.NUMBER:
        return not _PLAIN_NUMBER.fullmatch(token.text) or _compared_with_secret(before)
    return _may_be_secret(token) and not _is_account(token, before, after)


def _compared_with_secret(before: list[Token]) -> bool:
    """Return whether what stands before is a name of a secret and an operator, as in `pin_password = `."""
    operators = 0
    while operators < min(2, len(before)) and before[-1 - operators].kind is TokenKind.OPERATOR:
        operators += 1
    named = before[-1 - operators] if 0 < operators < len(before) else None
    return named is not None and _SECRET_WORD.search(named.text) is not None


def _is_account(token: Token, before: list[Token], after: list[Token]) -> bool:
    """Return whether a text is the name of an account, or of a host, which an auditor needs: `FOR 'bob'@'%'`."""
    if token.kind is not TokenKind.STRING or not before or before[0].word not in _ACCOUNT_STATEMENTS:
        return False
    if after and after[0].text.startswith("@"):
        return True
    if before[-1].word in _NAMES_AN_ACCOUNT:
        return True
    return len(before) > 1 and before[-1].text == "=" and _OPEN_OPTION.fullmatch(before[-2].word) is not None
