"""A cluster without servers: one SQLite file for writes, and copies that follow it.

The copying is real: a thread notices changes of the primary and copies them into the live replica files, in one
transaction each, while others read them. It writes its state beside each file, so that role and lag can be proven.

Every file uses a rollback journal: a reader without write permission could not open a file with a write-ahead log.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
import uuid
from pathlib import Path
from typing import Literal, Self

import msgspec
from msgspec.structs import asdict, replace

from safeconsole.demo import shop
from safeconsole.demo.accounts import new_mark

_POLL_SECONDS = 0.05
# How often a replica that has nothing to copy is said to be up to date.
_HEARTBEAT_SECONDS = 0.5
_BUSY_SECONDS = 5.0


class DemoSidecar(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one file, kept beside it as JSON.

    Attributes:
        identity: UUID of the file, stable for its life.
        source: identity of the file it is copied from; None for the primary.
        applied: `st_mtime_ns` of the source just before the copy: while the source has it, nothing is missing here. 0
            for the primary.
        copied_at: time of the last copy, seconds since 1970 in UTC; 0 for the primary.
        caught_up_at: when nothing was missing last, in the same unit. Written twice a second, so an old one means that
            the copying stopped or is behind.
        copies: number of copies since it was created.
        mark: of the demo, see `accounts.new_mark`.
        running: whether a replicator serves it; still true after a crash, hence `caught_up_at`.
    """

    identity: str
    role: Literal["primary", "replica"]
    source: str | None = None
    applied: int = 0
    copied_at: float = 0.0
    caught_up_at: float = 0.0
    copies: int = 0
    running: bool = False
    mark: str = ""


class EmbeddedNode(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the cluster.

    Attributes:
        name: "primary", "replica-1", …
        path: the database; its tables are in the file's main schema.
        sidecar: the JSON file beside it, replaced atomically.
    """

    name: str
    path: Path
    sidecar: Path

    def read_sidecar(self) -> DemoSidecar:
        return DemoSidecar(**json.loads(self.sidecar.read_text(encoding="utf-8")))


class EmbeddedCluster(msgspec.Struct, frozen=True, kw_only=True):
    """The files of one cluster in a directory: the primary, and at least one copy."""

    directory: Path
    primary: EmbeddedNode
    replicas: tuple[EmbeddedNode, ...]

    @property
    def nodes(self) -> tuple[EmbeddedNode, ...]:
        return (self.primary, *self.replicas)


def create_embedded(directory: Path, *, replicas: int = 2) -> EmbeddedCluster:
    """Create a cluster with the shop in it; nothing is copied until a `Replicator` starts.

    Raises FileExistsError: there is a cluster already.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    cluster = EmbeddedCluster(
        directory=directory,
        primary=_node(directory, "primary"),
        replicas=tuple(_node(directory, f"replica-{n}") for n in range(1, replicas + 1)),
    )
    if cluster.primary.path.exists():
        raise FileExistsError(f"{cluster.primary.path} exists already")
    with contextlib.closing(sqlite3.connect(cluster.primary.path)) as primary:
        # Built in one go; a crash here leaves nothing anybody relies on.
        primary.execute("PRAGMA synchronous = OFF")
        with primary:
            for statement in shop.create_statements("sqlite"):
                primary.execute(statement)
            for table in shop.TABLES:
                insert = shop.insert_statement(table, "sqlite")
                primary.executemany(insert, shop.rows(table.name))
        source, mark = str(uuid.uuid4()), new_mark(directory)
        _write(cluster.primary, DemoSidecar(identity=source, role="primary", mark=mark))
        for node in cluster.replicas:
            empty = DemoSidecar(identity=str(uuid.uuid4()), role="replica", source=source, mark=mark)
            _write(node, _copy(cluster.primary, node, primary, empty))
    return cluster


class Replicator:
    """Copies the primary's changes to the replicas, in its own thread; one per cluster.

    `start` and `stop` belong to one thread; `pause` and `resume` may be called from any.
    """

    def __init__(self, cluster: EmbeddedCluster) -> None:
        self._cluster = cluster
        self._paused: frozenset[str] = frozenset()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start copying. Raises RuntimeError: it is running already."""
        if self._thread is not None:
            raise RuntimeError("the replicator is running already")
        self._stopping.clear()
        self._thread = threading.Thread(target=self._follow, name="replicator", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the copy in progress."""
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None

    def pause(self, name: str) -> None:
        self._paused |= {self._known(name)}

    def resume(self, name: str) -> None:
        self._paused -= {self._known(name)}

    def wait_caught_up(self, timeout_seconds: float = 10.0) -> bool:
        """Wait until every unpaused replica has all that is committed now; False after the timeout."""
        goal = _modified(self._cluster.primary)
        deadline = time.monotonic() + timeout_seconds
        waiting = [node for node in self._cluster.replicas if node.name not in self._paused]
        while any(state.applied < goal or not state.running for state in map(EmbeddedNode.read_sidecar, waiting)):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS / 5)
        return True

    def _known(self, name: str) -> str:
        if name not in {node.name for node in self._cluster.replicas}:
            raise ValueError(f"no replica {name}")
        return name

    def _follow(self) -> None:
        cluster = self._cluster
        # Changes with every commit of another connection, however fast they follow each
        # other; the time stamp of the file does not.
        with contextlib.closing(_open(cluster.primary, mode="ro")) as primary:
            seen: dict[str, int] = {}
            while not self._stopping.wait(_POLL_SECONDS):
                with contextlib.suppress(sqlite3.OperationalError):
                    # A writer or reader held a file too long: tried again at the next look.
                    self._look(primary, seen)
        for node in cluster.replicas:
            _write(node, replace(node.read_sidecar(), running=False))

    def _look(self, primary: sqlite3.Connection, seen: dict[str, int]) -> None:
        version: int = primary.execute("PRAGMA data_version").fetchone()[0]
        for node in self._cluster.replicas:
            known = node.read_sidecar()
            if node.name in self._paused:
                if known.running:
                    _write(node, replace(known, running=False))
            elif seen.get(node.name) != version:
                _write(node, replace(_copy(self._cluster.primary, node, primary, known), running=True))
                seen[node.name] = version
            elif not known.running or time.time() - known.caught_up_at > _HEARTBEAT_SECONDS:
                _write(node, replace(known, caught_up_at=time.time(), running=True))


def _node(directory: Path, name: str) -> EmbeddedNode:
    return EmbeddedNode(name=name, path=directory / f"{name}.db", sidecar=directory / f"{name}.json")


def _open(node: EmbeddedNode, *, mode: Literal["ro", "rw", "rwc"]) -> sqlite3.Connection:
    return sqlite3.connect(f"{node.path.as_uri()}?mode={mode}", uri=True, timeout=_BUSY_SECONDS)


def _modified(node: EmbeddedNode) -> int:
    # Asked of the directory: to open and close the file would drop the locks that
    # SQLite holds on it elsewhere in this process.
    return node.path.stat().st_mtime_ns


def _copy(
    source: EmbeddedNode, target: EmbeddedNode, connection: sqlite3.Connection, known: DemoSidecar
) -> DemoSidecar:
    """Make one replica equal to the primary, atomically for readers, and return its new state.

    Raises sqlite3.OperationalError: somebody held one of the files for too long.
    """
    # MUST be read before the copy: a change during it then shows as missing.
    applied = _modified(source)
    deadline = time.monotonic() + _BUSY_SECONDS

    def give_up(_status: int, _left: int, _total: int) -> None:
        if time.monotonic() > deadline:
            raise sqlite3.OperationalError(f"{target.name} is locked")

    with contextlib.closing(_open(target, mode="rwc")) as replica:
        connection.backup(replica, pages=-1, progress=give_up, sleep=0.02)
    now = time.time()
    return replace(known, applied=applied, copied_at=now, caught_up_at=now, copies=known.copies + 1)


def _write(node: EmbeddedNode, sidecar: DemoSidecar) -> None:
    partial = node.sidecar.with_suffix(".json.partial")
    partial.write_text(json.dumps(asdict(sidecar)), encoding="utf-8")
    partial.replace(node.sidecar)
