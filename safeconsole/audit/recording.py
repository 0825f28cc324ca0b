"""Terminal recordings: asciicast v2 files beside the journal, `<directory>/recordings/<session>.cast`.

A recording is a convenience, not evidence: it is limited in size and never stops the journal or a statement. Typed
text is not in it: the face leaves out the echo and inserts what the journal holds.

Source: asciinema documentation, "asciicast v2".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

from safeconsole.audit.files import make_private_directory, open_appending, read_regular
from safeconsole.audit.record import Recorded
from safeconsole.clock import Clock
from safeconsole.config.settings import RecordingSettings
from safeconsole.errors import ConfigurationError

RECORDINGS = "recordings"
USUAL_SIZE, LARGEST_SIZE = (80, 24), 1000
ENOUGH = "\r\n[the recording ends here: size limit reached; the journal goes on]\r\n"


class Recording:
    """One session's terminal output, up to a maximum size."""

    def __init__(self, descriptor: int, clock: Clock, *, largest_bytes: int, keeps_rows: bool) -> None:
        self._descriptor = descriptor
        self._clock = clock
        self._began = clock.monotonic()
        self._left = largest_bytes
        self._keeps_rows = keeps_rows
        self._hash = hashlib.sha256()
        self._over = False
        # A running statement's status line is drawn by another thread.
        self._lock = threading.Lock()

    @property
    def keeps_rows(self) -> bool:
        return self._keeps_rows

    def output(self, text: str) -> None:
        """Append output; never raises."""
        with self._lock:
            if self._over or not text:
                return
            line = self._line(text)
            if len(line) > self._left:
                line, self._over = self._line(ENOUGH), True
            self._write(line)

    def close(self) -> str:
        """Close the file and return its SHA-256 (hexadecimal) for the journal; never raises."""
        with self._lock, contextlib.suppress(OSError):
            self._over = True
            os.close(self._descriptor)
        return self._hash.hexdigest()

    def head(self, columns: int, lines: int, title: str) -> None:
        """Write the header: the terminal's size in character cells, and a title."""
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


def open_recording(
    directory: Path, session: str, *, clock: Clock, size: os.terminal_size, settings: RecordingSettings
) -> Recording | None:
    """Begin a session's recording, or return None when that fails: a session does not depend on it.

    Args:
        size: the terminal's, in character cells.
    """
    try:
        make_private_directory(directory / RECORDINGS)
        descriptor = open_appending(recording_file(directory, session), new=True)
    except OSError:
        return None
    recording = Recording(descriptor, clock, largest_bytes=settings.largest_bytes, keeps_rows=settings.keep == "rows")
    recording.head(size.columns, size.lines, f"safeconsole {session}")
    return recording


def recording_file(directory: Path, session: str) -> Path:
    """Return the path of a session's recording. Raises ConfigurationError: not a session id."""
    if "/" in session:
        raise ConfigurationError(f"{session!r} is not a session id")
    return directory / RECORDINGS / f"{session}.cast"


def read_recording(directory: Path, session: str) -> Recorded:
    """Return a session's recording without invalid lines. Raises ConfigurationError: missing or unreadable."""
    content = _content(directory, session)
    head, *lines = content.split(b"\n")
    columns, height = _size(head)
    return Recorded(
        digest=hashlib.sha256(content).hexdigest(), columns=columns, lines=height, outputs=tuple(_outputs(lines))
    )


def _content(directory: Path, session: str) -> bytes:
    path = recording_file(directory, session)
    try:
        return read_regular(path)
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no recording of session {session}", instead=f"safeconsole audit show {session} shows it as text"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {(error.strerror or '').lower()}") from error


def _size(head: bytes) -> tuple[int, int]:
    try:
        match json.loads(head):
            case {"width": int() as columns, "height": int() as lines}:
                return min(max(columns, 20), LARGEST_SIZE), min(max(lines, 5), LARGEST_SIZE)
            case _:
                return USUAL_SIZE
    except (ValueError, RecursionError):
        return USUAL_SIZE


def _outputs(lines: list[bytes]) -> Iterator[tuple[float, str]]:
    for line in lines:
        try:
            match json.loads(line):
                case [int() | float() as moment, "o", str() as text] if math.isfinite(moment):
                    yield float(moment), text
                case _:
                    pass
        except (ValueError, OverflowError, RecursionError):
            continue


_ALLOWED_SEQUENCE = r"\x1b\[[0-9;]*[A-HJKSTfm]|\x1b\[\?(?:25|2004)[hl]"
_SEQUENCE = re.compile(
    rf"({_ALLOWED_SEQUENCE})"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[PX^_][^\x1b]*(?:\x1b\\)?|\x1b\[[0-?]*[ -/]*[@-~]?|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x06\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
"""Control sequences: the first group moves, erases and colours; any other could answer, rename or write elsewhere."""


def tame(text: str) -> str:
    """Return terminal output reduced to text, movement, erasure and colour: a recording is untrusted data."""
    return _SEQUENCE.sub(lambda found: found.group(1) or "", text)
