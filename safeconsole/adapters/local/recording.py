"""
What the terminal showed, as asciicast v2 beside the journal: `<directory>/recordings/<session>.cast`.

Convenience and no evidence: it is limited in size, it never stops the journal or the statement, and what a
person types is not in it (a face pauses it while it reads, and puts in what the journal may hold).

Source: asciinema documentation, "asciicast v2".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from safeconsole.adapters.local.appending import make_private_directory, open_appending
from safeconsole.core.errors import ConfigurationError
from safeconsole.interfaces import Clock

RECORDINGS = "recordings"
LARGEST_BYTES = 16 * 1024 * 1024
ENOUGH = "\r\n[the recording ends here: it has reached its size; the journal goes on]\r\n"


class Recording:
    """One session's terminal, as far as it fits."""

    def __init__(self, descriptor: int, clock: Clock, *, largest_bytes: int) -> None:
        self._descriptor = descriptor
        self._clock = clock
        self._began = clock.monotonic()
        self._left = largest_bytes
        self._hash = hashlib.sha256()
        self._paused = 0
        self._over = False

    def output(self, text: str) -> None:
        """Add what was shown; never raises."""
        if self._paused or self._over or not text:
            return
        line = self._line(text)
        if len(line) > self._left:
            line, self._over = self._line(ENOUGH), True
        self._write(line)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out what is shown meanwhile: the echo of what a person types."""
        self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1

    def close(self) -> str:
        """End it, and return the hexadecimal SHA-256 of all that was written, for the journal; never raises."""
        self._over = True
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
        return self._hash.hexdigest()

    def head(self, columns: int, lines: int, title: str) -> None:
        """Write the first line: the terminal's size in character cells."""
        head = {"version": 2, "width": columns, "height": lines, "title": title}
        self._write(json.dumps(head).encode() + b"\n")

    def _line(self, text: str) -> bytes:
        moment = round(self._clock.monotonic() - self._began, 6)
        # ASCII only: half a surrogate pair is written as its escape and harms nobody.
        return json.dumps([moment, "o", text]).encode() + b"\n"

    def _write(self, line: bytes) -> None:
        try:
            os.write(self._descriptor, line)
        except OSError:
            self._over = True  # a full disk ends the recording and nothing else
        else:
            self._left -= len(line)
            self._hash.update(line)


class RecordedStream:
    """A terminal's stream that is recorded too; everything else is the stream's own."""

    def __init__(self, stream: TextIO, recording: Recording) -> None:
        self._stream = stream
        self._recording = recording

    def write(self, text: str) -> int:
        """Write to the stream, and to the recording."""
        self._recording.output(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream, name)


def open_recording(
    directory: Path, session: str, *, clock: Clock, columns: int, lines: int, largest_bytes: int = LARGEST_BYTES
) -> Recording | None:
    """Begin a session's recording, or return None where it cannot be had: a session does not depend on it."""
    try:
        make_private_directory(directory / RECORDINGS)
        descriptor = open_appending(directory / RECORDINGS / f"{session}.cast", new=True)
    except OSError:
        return None
    recording = Recording(descriptor, clock, largest_bytes=largest_bytes)
    recording.head(columns, lines, f"safeconsole {session}")
    return recording


def played(directory: Path, session: str) -> Iterator[tuple[float, str]]:
    """
    Yield a recording's outputs with the second at which each was shown; lines that are none are left out.

    Raises:
        ConfigurationError: there is no recording of this session, or it cannot be read.
    """
    path = directory / RECORDINGS / f"{session}.cast"
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no recording of session {session}", instead=f"safeconsole audit show {session} tells it in words"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {(error.strerror or '').lower()}") from error
    return _outputs(lines)


def _outputs(lines: list[bytes]) -> Iterator[tuple[float, str]]:
    for line in lines[1:]:
        try:
            match json.loads(line):
                case [int() | float() as moment, "o", str() as text]:
                    yield float(moment), text
                case _:
                    pass
        except (ValueError, RecursionError):
            continue
