"""Ed25519 signatures over the lines of the host log.

The private key is in a file that only root (or the account itself) may read, or in the keyring; the public keys for
verification are in the configuration. Whoever can read the private key can sign anything: a key that the person's own
account can read detects accidents, not intent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from safeconsole.audit.keys import keep_key, read_key
from safeconsole.errors import AuditUnavailableError, ConfigurationError

KEYRING_ACCOUNT = "audit-signing-key"


class KeySigner:
    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = public_text(private)
        self._key = fingerprint(self.public)

    @property
    def key(self) -> str:
        return self._key

    def sign(self, message: bytes) -> str:
        return self._private.sign(message).hex()

    def __repr__(self) -> str:
        return f"KeySigner({self._key})"


class KeyRing:
    """Trusted public keys, by fingerprint."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Take public keys of 64 hexadecimal digits. Raises ConfigurationError for an invalid one."""
        self._keys: Mapping[str, Ed25519PublicKey] = {fingerprint(key): _public(key) for key in keys}

    def holds(self, key: str, message: bytes, signature: str) -> bool:
        known = self._keys.get(key)
        if known is None:
            return False
        try:
            known.verify(bytes.fromhex(signature), message)
        except (InvalidSignature, ValueError):
            return False
        return True


def load_signer(where: str, *, account: str = KEYRING_ACCOUNT, what: str = "audit signing key") -> KeySigner:
    """Return the signer for a configured key.

    Args:
        where: a PEM file's path, or "keyring".

    Raises:
        AuditUnavailableError: the key is unavailable, or others may read or replace it.
    """
    try:
        pem = read_key(where, account=account, what=what)
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # `from None`: the text of the error may quote the key.
        raise AuditUnavailableError(f"the {what} in {where} is not an unencrypted PEM key") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise AuditUnavailableError(f"the {what} in {where} is not an Ed25519 key")
    return KeySigner(private)


def new_key(where: str, *, account: str = KEYRING_ACCOUNT) -> str:
    """Create a signing key, and return its public key.

    Args:
        where: a new file's path, or "keyring".

    Raises:
        ConfigurationError: it cannot be stored there, or there is one already.
    """
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    keep_key(pem, where, account=account)
    return public_text(private)


def public_text(private: Ed25519PrivateKey) -> str:
    return private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def fingerprint(public: str) -> str:
    """Return the first 16 digits of the SHA-256 of a public key."""
    return hashlib.sha256(public.lower().encode()).hexdigest()[:16]


def is_signed_by(public: str, key: str, message: bytes, signature: str) -> bool:
    """Return whether a signature over a message is valid, and `key` is the public key's fingerprint."""
    return fingerprint(public) == key and KeyRing((public,)).holds(key, message, signature)


def _public(text: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
    except ValueError:
        raise ConfigurationError(
            f"audit.public_keys: {text[:70]!r} is not a public key of 64 hexadecimal digits"
        ) from None
