"""Keys of the journal: reading and storing them in private files or the keyring, and the key that hashes literals."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from safeconsole.errors import AuditUnavailableError, ConfigurationError
from safeconsole.policy.policy import Policy
from safeconsole.sqltext.literal_rules import NO_KEY, LiteralKey

KEYRING = "keyring"
"""The configured value for a key in the keyring."""


def read_key(where: str, *, account: str, what: str) -> bytes:
    """Return the bytes of a configured key.

    Args:
        where: a path, or "keyring".

    Raises:
        AuditUnavailableError: it is unavailable, or others may read or replace it.
    """
    try:
        return _from_keyring(account, what) if where == KEYRING else _from_file(Path(where), what)
    except OSError as error:
        said = (error.strerror or "unknown error").lower()
        raise AuditUnavailableError(
            f"the {what} in {where} cannot be read: {said}",
            instead="give this account the key, or change the configuration",
        ) from error


def keep_key(key: bytes, where: str, *, account: str) -> None:
    """Store a new key, never replacing one.

    Args:
        where: a new file's path, or "keyring".

    Raises:
        ConfigurationError: it cannot be stored there, or there is one already.
    """
    if where == KEYRING:
        _into_keyring(key, account)
        return
    try:
        descriptor = os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(f"no key can be stored in {where}: {(error.strerror or '').lower()}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)


def _from_file(path: Path, what: str) -> bytes:
    with path.open("rb") as file:
        opened = os.fstat(file.fileno())
        if opened.st_mode & (stat.S_IWGRP | stat.S_IRWXO):
            raise AuditUnavailableError(
                f"the {what} in {path} can be read or replaced by others",
                instead=f"chown root {path}; chmod 0640 {path}, with the group of those who use the console",
            )
        if opened.st_uid not in {0, os.geteuid()}:
            raise AuditUnavailableError(f"the {what} in {path} belongs to neither root nor this account")
        return file.read(64 * 1024)


def _from_keyring(account: str, what: str) -> bytes:
    from safeconsole.config.secrets import from_keyring  # noqa: PLC0415 - slow to import, rarely needed

    text, why = from_keyring("", account)
    if text is None:
        raise AuditUnavailableError(f"there is no {what} in the keyring: {why}", instead="make one, or name a file")
    return text.encode()


def _into_keyring(key: bytes, account: str) -> None:
    from safeconsole.config.credentials import backend_trouble, set_secret  # noqa: PLC0415 - as above
    from safeconsole.config.secrets import from_keyring  # noqa: PLC0415

    if backend_trouble():
        raise ConfigurationError("this computer has no keyring backend", instead="name a file that only you can read")
    if from_keyring("", account)[0] is not None:
        raise ConfigurationError(f"there is a key called {account} in the keyring already")
    set_secret("", account, key.decode())


LITERAL_KEYRING_ACCOUNT = "audit-literal-key"
KEY_BYTES = 32


def literal_key_for(policy: Policy, where: str) -> LiteralKey:
    """Return the key that a policy needs for hashing literals.

    Args:
        where: `audit.literal_key`: a path, "keyring", or "".

    Raises:
        ConfigurationError: the policy hashes literals, and no key is configured.
        AuditUnavailableError: the key is unavailable, or others may read or replace it.
    """
    if not policy.literals.needs_key:
        return NO_KEY
    if not where:
        raise ConfigurationError(
            f"policy {policy.name} hashes literals, and audit.literal_key names no key",
            instead="safeconsole audit new-key --for literals FILE makes one",
        )
    text = read_key(where, account=LITERAL_KEYRING_ACCOUNT, what="audit literal key")
    try:
        secret = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) < KEY_BYTES:
        raise AuditUnavailableError(
            f"the audit literal key in {where} is not a key of {KEY_BYTES * 2} hexadecimal digits"
        )
    return LiteralKey(secret=secret)


def new_literal_key(where: str) -> None:
    """Create a key of 32 random bytes in a new file, or in the keyring. Raises ConfigurationError."""
    keep_key(f"{secrets.token_hex(KEY_BYTES)}\n".encode(), where, account=LITERAL_KEYRING_ACCOUNT)
