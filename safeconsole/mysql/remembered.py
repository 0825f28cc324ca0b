"""What was met on a cluster, kept for the next process: a hint that saves it a wait, and never a proof."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from safeconsole.dialects.mysql import MYSQL
from safeconsole.mysql.recognising import Variant
from safeconsole.sqltext.vocabulary import Role

_MOST_BYTES = 65_536


class LastMet(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A node as it was measured last.

    Attributes:
        mysql: the version that it greeted with, where it was MySQL itself and took several questions at once; "" else.
    """

    role: Role = Role.UNKNOWN
    mysql: str = ""


class Remembered:
    """The nodes of one cluster by address; thread-safe.

    What cannot be read is not remembered, and what cannot be written is found out anew.

    Args:
        directory: where they are kept, None for nowhere.
        addresses: the configured ones, by which clusters are told apart.
    """

    def __init__(self, directory: Path | None = None, addresses: Iterable[str] = ()) -> None:
        digest = hashlib.sha256("\n".join(sorted(addresses)).encode()).hexdigest()
        self._path = directory / f"{digest[:32]}.json" if directory is not None else None
        self._nodes = _read(self._path)

    def role_of(self, address: str) -> Role:
        return self._nodes.get(address, LastMet()).role

    def variant_of(self, address: str) -> Variant | None:
        version = self._nodes.get(address, LastMet()).mysql
        return Variant(version=version, dialect=MYSQL) if version else None

    @property
    def are_any(self) -> bool:
        return bool(self._nodes)

    def keep(self, nodes: Iterable[tuple[str, Role, Variant]]) -> None:
        """Keep what was met now, beside what did not answer this time; never raises."""
        met = {
            address: LastMet(role=role, mysql=each.version if each.dialect is MYSQL and each.takes_several else "")
            for address, role, each in nodes
        }
        found = {**self._nodes, **met}
        if found == self._nodes or self._path is None:
            return
        self._nodes = found
        with suppress(OSError):
            _write(self._path, msgspec.json.encode(found))


def _read(path: Path | None) -> dict[str, LastMet]:
    if path is None:
        return {}
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            return msgspec.json.decode(file.read(_MOST_BYTES), type=dict[str, LastMet])
    except (OSError, ValueError, msgspec.MsgspecError):
        return {}


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
