"""Selects the part of a terminal's output that goes into its recording.

Never what is typed: a face puts in the text as the journal holds it. Nothing of what a statement shows that
the journal must not know of either: the recorder is silent then, and says so once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast

from safeconsole.audit.record import why_left_out
from safeconsole.audit.recording import Recording
from safeconsole.output.text import forgive_encoding
from safeconsole.sqltext.literal_rules import LiteralRules
from safeconsole.sqltext.statement import Statement


class TerminalRecorder:
    """One face's recording; without one it does nothing.

    Its streams may be made before the session is open, and are recorded from `begin` on.

    Attributes:
        has_left_out: whether it was mute before: what was left out may be shown again.
    """

    def __init__(self) -> None:
        self._recording: Recording | None = None
        self._literals = LiteralRules()
        self._keeps_rows = False
        self._mute = False
        self._reading = 0
        self.has_left_out = False

    def begin(self, recording: Recording | None, literals: LiteralRules) -> None:
        """Record from now on.

        Args:
            recording: where to, None for nowhere.
            literals: what the policy keeps out of the journal.
        """
        self._recording = recording
        self._literals = literals
        self._keeps_rows = recording is not None and recording.keeps_rows

    @property
    def is_on(self) -> bool:
        return self._recording is not None

    def data(self, stream: TextIO) -> TextIO:
        """Return a stream whose rows are recorded, where rows are kept."""
        forgive_encoding(stream)
        return cast("TextIO", RecordedStream(stream, self, rows=True))

    def messages(self, stream: TextIO) -> TextIO:
        forgive_encoding(stream)
        return cast("TextIO", RecordedStream(stream, self, rows=False))

    def entered(self, prompt: str, text: str) -> None:
        """Add an entry as the journal holds it, and record output again from now on."""
        self._mute = False
        self._put(f"{prompt}{text}\n")

    def watch(self, statement: Statement) -> bool:
        """Mute the recording if this statement's output may not be kept; return whether it may."""
        why = why_left_out(statement, self._literals)
        if why:
            self.mute(why)
        return not why

    def mute(self, why: str) -> None:
        if not self._mute:
            self._put(f"[what this shows is left out: {why}]\n")
        self._mute = self.has_left_out = True

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Record nothing while the context lasts: the echo of typed text."""
        self._reading += 1
        try:
            yield
        finally:
            self._reading -= 1

    def show(self, text: str, *, rows: bool) -> None:
        if not self._mute and not self._reading and (self._keeps_rows or not rows):
            self._put(text)

    def _put(self, text: str) -> None:
        if self._recording is not None:
            # As the terminal's driver does it; a player gets no driver.
            self._recording.output(text.replace("\r\n", "\n").replace("\n", "\r\n"))


class RecordedStream:
    """A stream that is recorded too; everything else is the stream's own."""

    def __init__(self, stream: TextIO, recorder: TerminalRecorder, *, rows: bool) -> None:
        self._stream = stream
        self._recorder = recorder
        self._rows = rows

    def write(self, text: str) -> int:
        self._recorder.show(text, rows=self._rows)
        return self._stream.write(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        if name == "buffer":
            # Whoever wrote bytes there would go past the recording.
            raise AttributeError(name)
        return getattr(self._stream, name)


@contextmanager
def recorded_streams() -> Iterator[TerminalRecorder]:
    """Give a recorder of the process's standard streams.

    Whoever keeps a stream keeps the one that stands there when they ask: this MUST come before they do.
    """
    recorder = TerminalRecorder()
    with redirect_stdout(recorder.data(sys.stdout)), redirect_stderr(recorder.messages(sys.stderr)):
        yield recorder
