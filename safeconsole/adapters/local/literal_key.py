"""The key that literals are hashed with: 32 random bytes, as hexadecimal digits, in a file or in the keyring."""

from __future__ import annotations

import secrets

from safeconsole.adapters.local.key_places import keep_key, read_key
from safeconsole.core.errors import AuditUnavailableError, ConfigurationError
from safeconsole.core.literal_rules import NO_KEY, LiteralKey
from safeconsole.core.policy import Policy

KEYRING_ACCOUNT = "audit-literal-key"
KEY_BYTES = 32


def literal_key_for(policy: Policy, where: str) -> LiteralKey:
    """
    Return the key that a session under a policy needs.

    Args:
        where: what `audit.literal_key` says: a file's path, "keyring", or "".

    Raises:
        ConfigurationError: the policy hashes literals, and no key is configured.
        AuditUnavailableError: the key cannot be had, or others may read or replace it.
    """
    if not policy.literals.needs_key:
        return NO_KEY
    if not where:
        raise ConfigurationError(
            f"policy {policy.name} hashes literals, and audit.literal_key names no key",
            instead="safeconsole audit new-key --for literals FILE makes one",
        )
    text = read_key(where, account=KEYRING_ACCOUNT, what="audit literal key")
    try:
        secret = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) < KEY_BYTES:
        raise AuditUnavailableError(f"the audit literal key in {where} is no key of {KEY_BYTES * 2} hexadecimal digits")
    return LiteralKey(secret=secret)


def new_literal_key(where: str) -> None:
    """Make a key in a file that does not exist yet, or in the keyring. Raises ConfigurationError."""
    keep_key(f"{secrets.token_hex(KEY_BYTES)}\n".encode(), where, account=KEYRING_ACCOUNT)
