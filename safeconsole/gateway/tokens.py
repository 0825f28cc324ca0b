"""The login tokens of a gateway: a file of hashes, each with its person.

A token is random, so its double hash is enough to check the proof that `caching_sha2_password` sends, and not enough to
log in. The file is replaced as a whole under a lock; a gateway that runs sees a change at the next login or statement.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import re
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from safeconsole.audit.files import check_private, make_private_directory, open_replacing, read_regular, sync_directory
from safeconsole.errors import ConfigurationError

TOKEN_BYTES = 32
LONGEST_SECONDS = 30 * 86_400.0
PERSON_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]{0,63}")
"""A person's name becomes part of a path, and stands in journals."""

_KEPT_SECONDS = 30 * 86_400.0
"""How long a token that is over stays listed."""

_MARK = "sct_"
_LARGEST_FILE_BYTES = 16 * 1024 * 1024


class IssuedToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One token as it is stored.

    Attributes:
        id: names it in lists and journals.
        agent: the kind of program that it was issued to, "" for a person.
        sha256: hexadecimal SHA256(SHA256(token)).
        sha1: hexadecimal SHA1(SHA1(token)) for clients that know `mysql_native_password` only, else "".
        issued_epoch, ends_epoch, revoked_epoch: seconds since 1970; `revoked_epoch` is 0 until it is revoked.
        by: who issued it.
    """

    id: str
    person: str
    agent: str = ""
    sha256: str
    sha1: str = ""
    issued_epoch: float
    ends_epoch: float
    revoked_epoch: float = 0.0
    by: str = ""

    def state_at(self, now_epoch: float) -> str:
        if self.revoked_epoch:
            return "revoked"
        return "valid" if self.issued_epoch <= now_epoch < self.ends_epoch else "expired"


class Tokens(ABC):
    """Tokens, wherever they are kept."""

    @abstractmethod
    def all(self) -> tuple[IssuedToken, ...]:
        """Return every token that is kept, oldest first. Raises ConfigurationError: they cannot be read."""

    @abstractmethod
    def _add(self, token: IssuedToken, *, forget_before_epoch: float) -> None:
        """Store a token, and forget those that ended before a time. Raises ConfigurationError."""

    @abstractmethod
    def _set_revoked(self, token_id: str, *, now_epoch: float) -> IssuedToken | None:
        """Revoke a token and return it, or None where there is none. Raises ConfigurationError."""

    def issue(
        self, person: str, *, now_epoch: float, seconds: float, by: str, agent: str = "", native: bool = False
    ) -> tuple[str, IssuedToken]:
        """Store a new token's hash and return its text, which is not stored.

        Args:
            seconds: how long it counts, > 0.
            native: also keep what clients that know `mysql_native_password` only are checked with.

        Raises:
            ConfigurationError: the name or the time cannot be, or it cannot be stored.
        """
        if not PERSON_NAME.fullmatch(person):
            raise ConfigurationError(f"{person!r} is no name for a person: letters, digits and . _ @ + - alone")
        if not 0 < seconds <= LONGEST_SECONDS:
            raise ConfigurationError(f"a token counts for up to {LONGEST_SECONDS / 86_400:.0f} days")
        text = _MARK + secrets.token_urlsafe(TOKEN_BYTES)
        token = IssuedToken(
            id=secrets.token_hex(4),
            person=person,
            agent=agent,
            sha256=double_sha256(text.encode()).hex(),
            sha1=double_sha1(text.encode()).hex() if native else "",
            issued_epoch=now_epoch,
            ends_epoch=now_epoch + seconds,
            by=by,
        )
        self._add(token, forget_before_epoch=now_epoch - _KEPT_SECONDS)
        return text, token

    def revoke(self, token_id: str, *, now_epoch: float) -> IssuedToken:
        """Revoke a token by its id. Raises ConfigurationError: there is none, or it cannot be stored."""
        found = self._set_revoked(token_id, now_epoch=now_epoch)
        if found is None:
            raise ConfigurationError(f"there is no token {token_id}", instead="safeconsole token list")
        return found

    def valid(self, token_id: str, now_epoch: float) -> bool:
        """Whether a token is still valid; one that cannot be looked up is not."""
        try:
            return any(each.id == token_id and each.state_at(now_epoch) == "valid" for each in self.all())
        except ConfigurationError:
            return False

    def named_by(self, text: str, now_epoch: float) -> IssuedToken | None:
        """Return the valid token with this text."""
        hashed = double_sha256(text.encode())
        return self._proven(lambda each: hmac.compare_digest(hashed, bytes.fromhex(each.sha256)), now_epoch)

    def proven_by_sha256(self, scramble: bytes, nonce: bytes, now_epoch: float) -> IssuedToken | None:
        """Return the valid token that a `caching_sha2_password` proof was made of."""
        return self._proven(lambda each: proves_sha256(scramble, nonce, bytes.fromhex(each.sha256)), now_epoch)

    def proven_by_sha1(self, scramble: bytes, nonce: bytes, now_epoch: float) -> IssuedToken | None:
        """Return the valid token that a `mysql_native_password` proof was made of."""
        return self._proven(
            lambda each: bool(each.sha1) and proves_sha1(scramble, nonce, bytes.fromhex(each.sha1)), now_epoch
        )

    def _proven(self, proves: Callable[[IssuedToken], bool], now_epoch: float) -> IssuedToken | None:
        found = None
        # Every token is tried, whoever asks: the time that it takes tells nothing of names.
        for each in self.all():
            if proves(each) and each.state_at(now_epoch) == "valid":
                found = each
        return found


class TokenFile(Tokens):
    """The tokens of one gateway, in a file that this account alone can read.

    Args:
        path: the file; made with the first token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._tokens: tuple[IssuedToken, ...] = ()

    def all(self) -> tuple[IssuedToken, ...]:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._unusable(error) from error
        stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
        with self._lock:
            if stamp != self._stamp:
                self._tokens, self._stamp = self._read(), stamp
            return self._tokens

    def _add(self, token: IssuedToken, *, forget_before_epoch: float) -> None:
        with self._changing() as known:
            self._write((*(each for each in known if each.ends_epoch > forget_before_epoch), token))

    def _set_revoked(self, token_id: str, *, now_epoch: float) -> IssuedToken | None:
        with self._changing() as known:
            found = next((each for each in known if each.id == token_id), None)
            if found is None:
                return None
            revoked = replace(found, revoked_epoch=found.revoked_epoch or now_epoch)
            self._write(tuple(revoked if each is found else each for each in known))
            return revoked

    @contextlib.contextmanager
    def _changing(self) -> Iterator[tuple[IssuedToken, ...]]:
        try:
            make_private_directory(self._path.parent)
            descriptor = os.open(
                self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except OSError as error:
            raise self._unusable(error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield self.all()
        finally:
            os.close(descriptor)

    def _read(self) -> tuple[IssuedToken, ...]:
        try:
            check_private(self._path)
            data = read_regular(self._path)
            if len(data) > _LARGEST_FILE_BYTES:
                raise ConfigurationError(f"{self._path} is too large to be a list of tokens")
            return msgspec.json.decode(data, type=tuple[IssuedToken, ...])
        except OSError as error:
            raise self._unusable(error) from error
        except msgspec.MsgspecError as error:
            raise ConfigurationError(f"{self._path} is no list of tokens", instead="issue tokens anew") from error

    def _write(self, tokens: tuple[IssuedToken, ...]) -> None:
        draft = self._path.with_suffix(".new")
        try:
            descriptor = open_replacing(draft)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(tokens))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
            sync_directory(self._path.parent)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(f"the tokens in {self._path} cannot be used: {(error.strerror or '').lower()}")


def double_sha256(text: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(text).digest()).digest()


def double_sha1(text: bytes) -> bytes:
    return hashlib.sha1(hashlib.sha1(text).digest()).digest()  # noqa: S324 (the protocol's own)


def proves_sha256(scramble: bytes, nonce: bytes, stored: bytes) -> bool:
    """Whether a `caching_sha2_password` scramble matches a token's stored double hash.

    The scramble is SHA256(token) XOR SHA256(SHA256(SHA256(token)) + nonce).
    """
    if len(scramble) != hashlib.sha256().digest_size:
        return False
    single = _xor(scramble, hashlib.sha256(stored + nonce).digest())
    return hmac.compare_digest(hashlib.sha256(single).digest(), stored)


def proves_sha1(scramble: bytes, nonce: bytes, stored: bytes) -> bool:
    """Whether a `mysql_native_password` scramble matches a token's stored double hash.

    The scramble is SHA1(token) XOR SHA1(nonce + SHA1(SHA1(token))).
    """
    if len(scramble) != hashlib.sha1().digest_size:  # noqa: S324
        return False
    single = _xor(scramble, hashlib.sha1(nonce + stored).digest())  # noqa: S324
    return hmac.compare_digest(hashlib.sha1(single).digest(), stored)  # noqa: S324


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
