"""Proves the role of a file from the sidecar that its replicator keeps beside it.

Beside `NAME.db` stands `NAME.json`, replaced whole at every change, one JSON object:

    identity      of the file, stable for its life; a UUID
    role          "primary" or "replica"
    source        identity of the file it is copied from; null for the primary
    applied       modification time of the source just before the last copy, in nanoseconds since 1970:
                  while the source still has it, nothing is missing here
    caught_up_at  when it was last seen to miss nothing, in seconds since 1970 in UTC, written twice a second
    running       whether a replicator follows; still true after it crashed, hence `caught_up_at`

    mark          of the demo that made it, or nothing

Other keys are left alone. What contradicts itself proves nothing: the role is then unknown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from safeconsole.sqltext.vocabulary import NodeName, Role

SILENT_SECONDS = 5.0
"""A replicator that wrote nothing for this long does not follow any more."""


class Sidecar(msgspec.Struct, frozen=True, kw_only=True):
    """One sidecar; see the module for its fields."""

    identity: str
    role: Literal["primary", "replica"]
    source: str | None = None
    applied: int = 0
    caught_up_at: float = 0.0
    running: bool = False
    mark: str = ""


class FileNode(msgspec.Struct, frozen=True, kw_only=True):
    node: NodeName
    path: Path
    tags: frozenset[str] = frozenset()

    @property
    def sidecar_path(self) -> Path:
        return self.path.with_suffix(".json")

    @property
    def uri(self) -> str:
        return self.path.as_uri()


class FileProof(msgspec.Struct, frozen=True, kw_only=True):
    """A file's proven role, with the evidence.

    Attributes:
        identity: of the file, or "" when nothing says.
        role: unknown where the sidecars do not agree.
        text: the facts behind the role, one line.
        lag_seconds: >= 0, None when unknown.
        replicating: whether it is followed, or misses nothing.
        mark: of the demo that made it, or "".
    """

    identity: str
    role: Role
    text: str
    lag_seconds: float | None = None
    replicating: bool = False
    mark: str = ""


def read_sidecar(place: FileNode) -> Sidecar | str:
    try:
        text = place.sidecar_path.read_bytes()
    except OSError as error:
        return f"its sidecar {place.sidecar_path.name} cannot be read: {(error.strerror or 'unknown').lower()}"
    try:
        return msgspec.json.decode(text, type=Sidecar)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return f"its sidecar {place.sidecar_path.name} says nothing that can be understood"


def prove(place: FileNode, cluster: tuple[FileNode, ...], *, now_seconds: float) -> FileProof:
    """Return a file's role, from its own sidecar and those of the other files.

    Args:
        cluster: every node, this one included.
        now_seconds: seconds since 1970, UTC.
    """
    own = read_sidecar(place)
    if isinstance(own, str):
        return FileProof(identity="", role=Role.UNKNOWN, text=own)
    others = {other: read_sidecar(other) for other in cluster if other.path != place.path}
    known = {other: sidecar for other, sidecar in others.items() if isinstance(sidecar, Sidecar)}
    twins = [other.node for other, sidecar in known.items() if sidecar.identity == own.identity]
    if twins:
        return FileProof(identity=own.identity, role=Role.UNKNOWN, text=f"{twins[0]} claims the same identity")
    if own.role == "primary":
        if own.source is not None:
            return FileProof(
                identity=own.identity, role=Role.UNKNOWN, text="a primary that is copied from another file"
            )
        return FileProof(
            identity=own.identity, role=Role.PRIMARY, text="copied from no other file", replicating=True, mark=own.mark
        )
    sources = [other for other, sidecar in known.items() if sidecar.identity == own.source]
    if not sources or known[sources[0]].role != "primary":
        return FileProof(identity=own.identity, role=Role.UNKNOWN, text="its source is not a primary of this cluster")
    return _replica(own, sources[0], now_seconds)


def _replica(own: Sidecar, source: FileNode, now_seconds: float) -> FileProof:
    silent_seconds = max(0.0, now_seconds - own.caught_up_at)
    follows = own.running and silent_seconds < SILENT_SECONDS
    try:
        # Asked of the directory: to open and close the file would drop the locks that SQLite holds on it.
        complete = source.path.stat().st_mtime_ns <= own.applied
    except OSError:
        text = f"copied from {source.node}, which cannot be looked at"
        return FileProof(identity=own.identity, role=Role.REPLICA, text=text)
    state = "nothing missing" if complete else f"behind for {silent_seconds:.1f} s"
    return FileProof(
        identity=own.identity,
        role=Role.REPLICA,
        text=f"copied from {source.node}, {state}{'' if follows else ', no replicator follows'}",
        lag_seconds=0.0 if complete else silent_seconds,
        replicating=follows,
        mark=own.mark,
    )
