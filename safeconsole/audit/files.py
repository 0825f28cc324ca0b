"""Append-only files: private, opened without following links, checked to be the file that the path still names.

Errors leave as `AuditUnavailableError`, with the directory, the system's message and what to do.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn

from safeconsole.errors import AuditUnavailableError

WAYS_OUT = {
    errno.ENOSPC: "free space on that file system, or point audit.directory at another",
    errno.EDQUOT: "raise the quota, or point audit.directory at another file system",
    errno.EROFS: "mount that file system writable, or point audit.directory at another",
    errno.EACCES: "give this account the directory (mode 0700), or point audit.directory at another",
    errno.EPERM: "give it to this account alone (chmod -R go-w), or point audit.directory at another",
    errno.ENOENT: "put the directory back, then open a new session",
    errno.EFBIG: "raise the file size limit (ulimit -f), then open a new session",
    errno.EIO: "the disk failed to store it: do not go on here; point audit.directory at a healthy disk",
    errno.ELOOP: "a symbolic link stands where the journal belongs: remove it, or point audit.directory at another",
}
OTHERWISE = "see that the directory can be written to, or point audit.directory at another"

PACKED = ".gz"
"""Suffix of a compressed file."""

TAIL_BYTES = 64 * 1024
"""Bytes read at first from a file's end to find its last line."""


def unavailable(directory: Path, error: OSError) -> NoReturn:
    said = (error.strerror or str(error)).lower()
    message = f"the audit journal in {directory} cannot be written: {said}"
    raise AuditUnavailableError(message, instead=WAYS_OUT.get(error.errno or 0, OTHERWISE)) from error


def make_private_directory(directory: Path) -> None:
    """Create a directory and its parents with mode 0700, durably. Raises OSError."""
    missing = []
    path = directory
    while not path.exists():
        missing.append(path)
        path = path.parent
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            leave_to_owner(descriptor, path.parent)
        finally:
            os.close(descriptor)
        sync_directory(path.parent)
    if not directory.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))


def check_private(path: Path) -> None:
    """Raise OSError (EPERM) if anyone but this account and root can change a file or directory."""
    found = path.stat()
    # Root may keep a person's journals; anybody else's are theirs to change.
    foreign = os.geteuid() not in {0, found.st_uid} and found.st_uid != 0
    if foreign or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(errno.EPERM, f"others than this account can change {path}", str(path))


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_appending(path: Path, *, new: bool) -> int:
    """Open a file for reading and appending, mode 0600, following no symbolic link.

    Raises OSError: it cannot be opened; FileExistsError when `new` and it exists.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags | os.O_EXCL if new else flags, 0o600)
    leave_to_owner(descriptor, path.parent)
    return descriptor


def open_replacing(path: Path) -> int:
    """Open a file for overwriting, mode 0600, following no symbolic link. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    leave_to_owner(descriptor, path.parent)
    return descriptor


def leave_to_owner(descriptor: int, directory: Path) -> None:
    """Give a file that root created in a person's directory to that person, who continues it. Raises OSError."""
    if os.geteuid() != 0:
        return
    owner = directory.stat()
    if os.fstat(descriptor).st_uid != owner.st_uid:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def open_regular(path: Path) -> int:
    """Open a regular file for reading without blocking. Raises OSError for a link, pipe, device or anything else."""
    # Without O_NONBLOCK a named pipe would be waited for.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link", str(path)) from error
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is not a regular file", str(path))


@contextlib.contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, decompressed where its name says so. Raises OSError as `open_regular` does."""
    with os.fdopen(open_regular(path), "rb") as file:
        if path.suffix != PACKED:
            yield file
            return
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield unpacked  # type: ignore[misc]
        except (EOFError, zlib.error) as error:
            raise OSError(errno.EIO, f"it does not unpack: {error}", str(path)) from error


def read_regular(path: Path) -> bytes:
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read()


def write_whole(descriptor: int, data: bytes) -> None:
    """Append all of the data, or leave the file as it was.

    Raises OSError: it was not written; a partial write was truncated again, unless that failed too.
    """
    written = 0
    try:
        while written < len(data):
            # MUST be one write in the ordinary case: a kill then leaves the whole line or none.
            written += os.write(descriptor, data[written:] if written else data)
    except OSError:
        if written:
            os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
        raise


def check_still_named(descriptor: int, path: Path, size: int) -> None:
    """Check that a path still names the open file, and that nobody else wrote to it.

    Args:
        size: expected size in bytes.

    Raises:
        OSError: ENOENT when the file is gone or replaced, ESTALE when its size differs.
    """
    named, opened = path.lstat(), os.fstat(descriptor)
    if (named.st_dev, named.st_ino) != (opened.st_dev, opened.st_ino):
        raise FileNotFoundError(errno.ENOENT, "another file stands in the place of the session's", str(path))
    if opened.st_size != size:
        raise OSError(
            errno.ESTALE, f"the session's file has {opened.st_size} bytes where {size} were written", str(path)
        )


def last_line(descriptor: int) -> tuple[bytes, bytes]:
    """Return a file's last whole line without its newline, and the partial line after it. Raises OSError."""
    size = os.fstat(descriptor).st_size
    window = TAIL_BYTES
    while True:
        start = max(0, size - window)
        tail = os.pread(descriptor, size - start, start)
        whole, newline, torn = tail.rpartition(b"\n")
        _, found, line = whole.rpartition(b"\n")
        if start == 0 or (newline and found):
            return (line if newline else b""), torn
        window *= 4
