"""What the elevated accounts of a cluster said that they may do, kept so that a refusal offers no elevation in vain.

An elevated account is asked only while somebody is elevated. What it answered then is kept for a day, in a file of its
own. Whoever changes that file can remove an offer of an elevation, and nothing else: no decision reads it.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import msgspec

from safeconsole.dialects.privileges import AccountPrivileges

BELIEVED_SECONDS = 24 * 3600
"""How long an answer is believed: rights that were granted since are offered again after that, at the latest."""

_MOST_BYTES = 1024 * 1024
_MOST_KEPT = 20


class KeptPrivileges(msgspec.Struct, frozen=True, kw_only=True):
    """One account's answer on one server.

    Attributes:
        node: the server's name at the time, for people.
        server: its identity.
        read_epoch: seconds since 1970 of the answer.
    """

    account: str
    node: str
    server: str
    read_epoch: int
    held: AccountPrivileges

    @property
    def ago(self) -> str:
        minutes = max(0, int(time.time()) - self.read_epoch) // 60
        return f"{minutes} min ago" if minutes < 60 else f"{minutes // 60} h ago"


class KeptGrants:
    """The file of one cluster in a person's state directory; reading and writing never raise."""

    def __init__(self, state_directory: Path, cluster: str) -> None:
        self._path = state_directory / "grants" / f"{quote(cluster, safe='')}.json"

    def of(self, account: str, servers: Collection[str]) -> KeptPrivileges | None:
        """Return the newest answer of an account on one of some servers, None without one that is believed."""
        now = time.time()
        found = [
            each
            for each in self._all()
            if each.account == account and each.server in servers and 0 <= now - each.read_epoch < BELIEVED_SECONDS
        ]
        return max(found, key=lambda each: each.read_epoch, default=None)

    def keep(self, account: str, node: str, server: str, held: AccountPrivileges) -> None:
        """Keep an answer in place of the one before it."""
        # What is not understood may hold anything, and only its being there matters.
        held = msgspec.structs.replace(held, unclear=("not understood",) if held.unclear else ())
        kept = KeptPrivileges(account=account, node=node, server=server, read_epoch=int(time.time()), held=held)
        others = [each for each in self._all() if (each.account, each.server) != (account, server)]
        with suppress(OSError):
            self._write(msgspec.json.encode([*others, kept][-_MOST_KEPT:]))

    def _write(self, data: bytes) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._path.with_suffix(f".{os.getpid()}.part")
        # What a process of this number left, cut off in the middle.
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            partial.replace(self._path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def _all(self) -> list[KeptPrivileges]:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return []
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            foreign = about.st_uid not in {0, os.geteuid()} or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if not stat.S_ISREG(about.st_mode) or foreign or about.st_size > _MOST_BYTES:
                return []
            try:
                return msgspec.json.decode(file.read(_MOST_BYTES), type=list[KeptPrivileges])
            except (OSError, msgspec.DecodeError, UnicodeError):
                return []
