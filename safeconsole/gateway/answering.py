"""Writes answers to one client: OK, errors, rows of our own, and a node's packets as they came.

Packets of a node keep their bytes; where they are not the first answer to a command, their numbers alone are written
anew. Two things are ours: the status bits, since what is open for the client is not what is open on the node, and the
end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from safeconsole.cluster.engine import PACKET_HEADER_BYTES, SplicedRows
from safeconsole.errors import StoppedError
from safeconsole.gateway.packets import (
    ClientChannel,
    ColumnKind,
    Fields,
    ServerStatus,
    binary_row,
    column,
    end_marker,
    error,
    lenenc,
    ok,
    text_row,
)
from safeconsole.gateway.refusals import ErrorReply, ToldError
from safeconsole.session.result import Result

_NUMBER_AT = 3
_LARGEST_WRITE_BYTES = 1024 * 1024

_MORE_SETS = ErrorReply(
    number=1312,
    state="0A000",
    message="it is done, and returned several result sets: this client takes one (CLIENT_MULTI_RESULTS)",
)

Note = tuple[str, int, str]
"""Level, number and message, as SHOW WARNINGS has them."""


class OwnRows(msgspec.Struct, frozen=True, kw_only=True):
    """A result set of the gateway's own."""

    columns: Mapping[str, ColumnKind]
    rows: Sequence[tuple[object, ...]]


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The counts and status of a statement that succeeded.

    Attributes:
        affected: rows changed, or matched where the client counts so; -1 with a result set.
        rows: rows that were sent.
    """

    affected: int = 0
    inserted: int = 0
    rows: int = 0


class Answering:
    """One client's answers.

    Attributes:
        notes: of the last statement, for SHOW WARNINGS.
        status: the status bits, but for MORE_RESULTS.
    """

    def __init__(self, channel: ClientChannel, *, counts_found: bool, takes_sets: bool = True) -> None:
        self.channel = channel
        self.status = ServerStatus.AUTOCOMMIT
        self.notes: tuple[Note, ...] = ()
        self._counts_found = counts_found
        self._takes_sets = takes_sets

    def ok(self, done: Done | None = None, *, more: bool = False, info: str = "") -> None:
        done = done or Done()
        self.channel.write(
            ok(
                affected=done.affected,
                inserted=done.inserted,
                status=self._bits(more=more),
                warnings=len(self.notes),
                info=info,
            )
        )

    def error(self, told: ErrorReply) -> None:
        self.channel.write(error(told.number, told.state, told.message))

    def own(self, own: OwnRows, *, binary: bool, more: bool = False) -> None:
        """Write a result set of our own."""
        status = self._bits(more=more)
        kinds = tuple(own.columns.values())
        rows = (binary_row(row, kinds) if binary else text_row(row) for row in own.rows)
        self.channel.write(
            lenenc(len(own.columns)),
            *(column(name, kind) for name, kind in own.columns.items()),
            end_marker(status=status),
            *rows,
            end_marker(status=status, warnings=len(self.notes)),
        )

    def spliced(self, result: Result, *, more: bool, most_rows: int, utf8: bool) -> Done:
        """Pass a node's answer through, to its end.

        Args:
            most_rows: rows after which the client wants no more, 0 for all.
            utf8: whether the client can read more than ASCII.

        Raises:
            SafeConsoleError: as iterating the result; what was written before it stays written.
            ToldError: there are more result sets than the client takes; the statement is done.
            GoneError: the client is gone.
        """
        if not result.columns:
            return self._changed(result, more=more)
        rows = 0
        with result:
            # It goes with the first rows, which are here already where there are any.
            head, ahead = _with_status(result.head, self._bits(more=False)), len(result.columns) + 2
            for batch in result:
                spliced = cast("SplicedRows", batch)
                if most_rows:
                    spliced = spliced[: most_rows - rows]
                data = b"".join((head, spliced.data)) if head else spliced.data
                self._hand_on(data, packets=ahead + spliced.packets, utf8=utf8)
                head, ahead = b"", 0
                rows += spliced.rows
                if most_rows and rows >= most_rows:
                    break
            else:
                self._hand_on(head, packets=ahead, utf8=utf8)
                rows += self._further_sets(result, utf8=utf8)
        self.notes = notes_of(result)
        tail = result.tail if self._takes_sets else b""
        self.channel.write(end_marker(status=self._bits(more=more or bool(tail)), warnings=len(self.notes)))
        if tail:
            # What a procedure changed stands behind its result sets.
            done, info = read_ok(tail, counts_found=self._counts_found)
            self.ok(done, more=more, info=info)
        return Done(affected=-1, rows=rows)

    def _further_sets(self, result: Result, *, utf8: bool) -> int:
        """Pass the further result sets through, except the end of the last; return their rows."""
        rows, is_short = 0, False
        while result.has_more:
            is_short = not self._takes_sets
            if not is_short:
                self.channel.write(end_marker(status=self._bits(more=True), warnings=0))
            result.next_set()
            if not is_short:
                head = _with_status(result.head, self._bits(more=True))
                self._hand_on(head, packets=len(result.columns) + 2, utf8=utf8)
            for batch in result:
                spliced = cast("SplicedRows", batch)
                if not is_short:
                    self._hand_on(spliced.data, packets=spliced.packets, utf8=utf8)
                    rows += spliced.rows
        if is_short:
            raise ToldError(_MORE_SETS)
        return rows

    def _changed(self, result: Result, *, more: bool) -> Done:
        with result:
            for _ in result:
                pass
        self.notes = notes_of(result)
        done, info = read_ok(result.head, counts_found=self._counts_found)
        self.ok(done, more=more, info=info)
        return done

    def _hand_on(self, data: bytes | memoryview, *, packets: int, utf8: bool) -> None:
        if not utf8 and not bytes(data).isascii():
            raise StoppedError(
                "the rows hold more than ASCII, and this connection does not read UTF-8",
                by="console",
                instead="SET NAMES utf8mb4 first",
            )
        if data and data[_NUMBER_AT] != self.channel.sequence:
            data = renumbered(data, self.channel.sequence)
        self.channel.sequence = (self.channel.sequence + packets) & 0xFF
        whole = memoryview(data)
        # A client that reads has the whole time of a stall for each part.
        for start in range(0, len(whole), _LARGEST_WRITE_BYTES):
            self.channel.write_packets(whole[start : start + _LARGEST_WRITE_BYTES])

    def _bits(self, *, more: bool) -> int:
        return self.status | ServerStatus.MORE_RESULTS if more else self.status


def renumbered(packets: bytes | memoryview, sequence: int) -> bytes:
    """Return packets renumbered from a sequence number on."""
    changed = bytearray(packets)
    position = 0
    while position < len(changed):
        changed[position + _NUMBER_AT] = sequence & 0xFF
        sequence += 1
        position += PACKET_HEADER_BYTES + int.from_bytes(changed[position : position + 3], "little")
    return bytes(changed)


def _with_status(head: bytes, status: int) -> bytes:
    # The end of the definitions closes the head, and the status bits close that.
    return head[:-2] + int(status).to_bytes(2, "little")


def read_ok(payload: bytes, *, counts_found: bool) -> tuple[Done, str]:
    """Return the counts of a node's OK packet, and its message.

    Args:
        counts_found: whether the client counts rows that were found, and not those that were changed.
    """
    fields = Fields(payload, 1)
    affected, inserted = fields.length(), fields.length()
    fields.take(4)
    info = fields.take(fields.length()).decode("utf-8", "replace") if fields.left else ""
    matched = info.partition("Rows matched: ")[2].split(" ", 1)[0]
    if counts_found and matched.isdigit():
        affected = int(matched)
    return Done(affected=affected, inserted=inserted), info


def notes_of(result: Result) -> tuple[Note, ...]:
    """Return the server's warnings and the gate's notes on a result."""
    found: list[Note] = []
    for line in result.warnings:
        head, colon, message = line.partition(": ")
        level, _, number = head.partition(" ")
        if colon and level in {"Note", "Warning", "Error"} and number.isdigit():
            found.append((level, int(number), message))
        else:
            found.append(("Note", NOTE_NUMBER, line))
    return (*found, *(("Note", NOTE_NUMBER, note) for note in result.considered.notes))


NOTE_NUMBER = 1105
"""What the gateway itself says, among a server's warnings."""


def notes_of_error(told: ErrorReply) -> tuple[Note, ...]:
    """Return the rows of SHOW WARNINGS after an error: the error and its evidence."""
    return (
        ("Error", told.number, told.message),
        *(("Note", NOTE_NUMBER, detail) for detail in told.details),
    )
