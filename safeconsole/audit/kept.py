"""The rows of changes that are kept beside the journal, so that a change can be undone.

One file a change, for the account alone, never shipped, and gone with its last day.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from safeconsole.audit.files import make_private_directory, open_appending, open_regular, write_whole
from safeconsole.errors import ConfigurationError
from safeconsole.patterns import late
from safeconsole.sqltext.undoing import KeptRows

FOLDER = "undo"
NOT_KEPT_OF = "rows not kept of statement"
"""What the journal notes where a policy keeps rows, and those of a change were not; the statement's number follows."""

_SPOT = late(r"([0-9A-Za-z-]{1,64})#(\d{1,9})")


class KeptChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change with its rows.

    Attributes:
        sql: as the journal has it.
        until_epoch: seconds since 1970 at which it is gone.
    """

    session: str
    statement: int
    cluster: str
    schema: str
    server: str
    sql: str
    until_epoch: int
    rows: KeptRows


def write_kept(directory: Path, change: KeptChange) -> None:
    """Store a change's rows, and remove expired ones. Raises OSError."""
    folder = directory / FOLDER
    make_private_directory(folder)
    purge_kept(directory)
    path = folder / f"{change.session}-{change.statement}.json"
    descriptor = open_appending(path, new=True)
    try:
        write_whole(descriptor, msgspec.json.encode(change))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    # Its last day is the time of the file, so that who clears up need not read those whose day is to come.
    os.utime(path, (change.until_epoch, change.until_epoch))


def purge_kept(directory: Path, *, dry: bool = False) -> tuple[tuple[str, int], ...]:
    """Remove the rows whose days are over, and return which and how many bytes; what cannot be removed is not told.

    Args:
        dry: only tell what would be removed.
    """
    gone = []
    for path in sorted((directory / FOLDER).glob("*.json")):
        with suppress(OSError):
            about = path.lstat()
            if about.st_mtime >= time.time():
                continue
            found = _read(path)
            if found is not None and found.until_epoch >= time.time():
                continue
            if not dry:
                path.unlink()
            gone.append(("#".join(path.stem.rsplit("-", 1)), about.st_size))
    return tuple(gone)


def kept_change(directory: Path, spot: str) -> KeptChange:
    """Return the kept rows of a change, by SESSION#STATEMENT; a unique prefix of the session's id is enough.

    Raises ConfigurationError: nothing is kept of it, or not any more.
    """
    asked = _SPOT.fullmatch(spot)
    if asked is None:
        raise ConfigurationError(
            f"{spot!r} names no statement", instead="SESSION#STATEMENT, as audit search shows them"
        )
    purge_kept(directory)
    paths = sorted((directory / FOLDER).glob(f"{asked[1]}*-{asked[2]}.json"))
    found = [change for change in map(_read, paths) if change is not None and change.statement == int(asked[2])]
    if len(found) > 1:
        raise ConfigurationError(f"{spot} is ambiguous", instead="give more of the session's id")
    if not found or found[0].until_epoch < time.time():
        raise ConfigurationError(
            f"no rows are kept of {spot}",
            instead="`keep_rows` in a policy keeps them, by table, for `keep_rows_days`",
        )
    return found[0]


def _read(path: Path) -> KeptChange | None:
    try:
        descriptor = open_regular(path)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        try:
            return msgspec.json.decode(file.read(), type=KeptChange)
        except msgspec.DecodeError:
            return None
