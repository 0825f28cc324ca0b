"""Passwords in the computer's keyring for `credentials set|list|delete`; they are never shown."""

from __future__ import annotations

import contextlib
from typing import NoReturn

import keyring
import msgspec
from keyring.errors import KeyringError, PasswordDeleteError

from safeconsole.config.settings import variable_for
from safeconsole.errors import ConfigurationError

SERVICE_PREFIX = "safeconsole/"
INDEX_SERVICE = "safeconsole"
INDEX_NAME = "accounts"
"""The entry that lists stored names, since keyrings cannot be listed."""

OTHER_SOURCES = "use the sources command, env or aws-iam in clusters.*.secrets.sources"


class Credential(msgspec.Struct, frozen=True, order=True):
    cluster: str
    account: str


def service_for(cluster: str) -> str:
    """Return the keyring service of a cluster's passwords."""
    return f"{SERVICE_PREFIX}{cluster}"


def backend_trouble() -> str:
    """Return why this computer's keyring cannot be used, or ""."""
    backend = keyring.get_keyring()
    # The fail and null backends have no priority above 0; a chain of none is the same.
    if getattr(backend, "priority", 0) <= 0 or not getattr(backend, "backends", (backend,)):
        return f"this computer has no keyring backend; {OTHER_SOURCES}"
    return ""


def set_credential(cluster: str, account: str, password: str) -> None:
    """Store a password. Raises ConfigurationError (never with the password): no keyring, or it refused."""
    set_secret(cluster, account, password)
    try:
        _write_index({*_index(), Credential(cluster, account)})
    except KeyringError as error:
        _refused(error)


def set_secret(cluster: str, account: str, secret: str) -> None:
    """Store a secret that `list_credentials` does not name. Raises ConfigurationError, never with the secret in it."""
    need_backend()
    try:
        keyring.set_password(service_for(cluster), account, secret)
    except KeyringError as error:
        _refused(error)


def list_credentials() -> tuple[Credential, ...]:
    """Return the accounts with stored passwords, sorted. Raises ConfigurationError."""
    need_backend()
    try:
        return tuple(sorted(_index()))
    except KeyringError as error:
        _refused(error)


def delete_credential(cluster: str, account: str) -> None:
    """Delete a password. Raises ConfigurationError when there was none."""
    need_backend()
    try:
        known = _index()
        if keyring.get_password(service_for(cluster), account) is None and Credential(cluster, account) not in known:
            raise ConfigurationError(f"there is no password stored for account {account} of cluster {cluster}")
        with contextlib.suppress(PasswordDeleteError):
            keyring.delete_password(service_for(cluster), account)
        _write_index(known - {Credential(cluster, account)})
    except KeyringError as error:
        _refused(error)


def need_backend(cluster: str = "", account: str = "") -> None:
    """Raise ConfigurationError where this computer has no keyring, with an example of each other source."""
    trouble = backend_trouble()
    if not trouble:
        return
    examples = (
        'command: secrets = { sources = ["command"], command = ["pass", "show", "{cluster}/{account}"] }',
        f'env: secrets = {{ sources = ["env"] }}, and the variable {variable_for(cluster, account)}',
        'aws-iam: secrets = { sources = ["aws-iam"] }, for RDS and Aurora',
    )
    raise ConfigurationError(trouble.partition(";")[0], evidence=examples if account else (), instead=OTHER_SOURCES)


def _refused(error: KeyringError) -> NoReturn:
    message = f"the keyring refused ({type(error).__name__})"
    # `from None`: a backend's own error may quote what it was given.
    raise ConfigurationError(message, instead="unlock the keyring, or " + OTHER_SOURCES) from None


def _index() -> set[Credential]:
    text = keyring.get_password(INDEX_SERVICE, INDEX_NAME)
    try:
        return set(msgspec.json.decode(text or "[]", type=list[Credential]))
    except msgspec.DecodeError:
        return set()


def _write_index(credentials: set[Credential]) -> None:
    keyring.set_password(INDEX_SERVICE, INDEX_NAME, msgspec.json.encode(sorted(credentials)).decode())
