"""Requests and answers as files, one word of text each, also in a directory that others write to."""

from __future__ import annotations

import os
import re
from pathlib import Path

from safeconsole.adapters.local.appending import open_appending, write_whole

LARGEST_ANSWER_BYTES = 64 * 1024


def paths_of(directory: Path, request: str) -> tuple[Path, Path]:
    """Return where a request and its answer lie, by the request's id."""
    # The id comes from another computer's text: it MUST not be able to name a path.
    name = re.sub(r"[^A-Za-z0-9-]", "-", request)[:100]
    return directory / f"{name}.request", directory / f"{name}.answer"


def text_of(path: Path) -> str:
    """Return a file's text, whatever lies there. Raises OSError."""
    # What others put there may be no file at all; nobody is to wait for a pipe.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        return (file.read(LARGEST_ANSWER_BYTES) or b"").decode("ascii", "replace")


def write_new(path: Path, text: str) -> None:
    """Write a file that others of the group may read: whole or not at all, never over one that is there."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = open_appending(draft, new=True)
    try:
        write_whole(descriptor, f"{text}\n".encode())
        os.fchmod(descriptor, 0o640)
        os.link(draft, path)
    finally:
        os.close(descriptor)
        draft.unlink()
