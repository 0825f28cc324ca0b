"""Masks in packets: rows of more than one packet, long lengths, and packets that are not what they say."""

import pytest

from safeconsole.cluster.engine import Splice, SplicedRows
from safeconsole.cluster.splicing import MaskedSplice
from safeconsole.gateway.packets import ColumnKind, binary_row, column, end_marker, lenenc_text
from safeconsole.mysql.protocol import framed

MASK = "[masked]"
KINDS = (ColumnKind.BIGINT, ColumnKind.VARCHAR, ColumnKind.DOUBLE)


def head(kinds=KINDS):
    payloads = [
        bytes((len(kinds),)),
        *(column(f"c{place}", kind) for place, kind in enumerate(kinds)),
        end_marker(status=2),
    ]
    return b"".join(framed(payload, number) for number, payload in enumerate(payloads, start=1))


def mask_of(splice, positions, kinds=KINDS):
    mask = MaskedSplice(splice, frozenset(positions), MASK)
    mask.head(head(kinds))
    return mask


def rows_of(*payloads, first=6):
    data, number = b"", first
    for payload in payloads:
        number += len(payload) // 0xFFFFFF
        data += framed(payload, number)
        number += 1
    return SplicedRows(data=data, rows=len(payloads), packets=number - first)


def text(*values):
    return b"".join(b"\xfb" if value is None else lenenc_text(value) for value in values)


def test_a_definition_becomes_a_text_and_keeps_its_names():
    changed = MaskedSplice(Splice.TEXT, frozenset({0}), MASK).head(head())
    assert changed == head((ColumnKind.VARCHAR, *KINDS[1:])).replace(
        (4 * 65_535).to_bytes(4, "little"), b"\x20\0\0\0", 1
    )


@pytest.mark.parametrize("long", [250, 251, 65_535, 65_536, 0xFFFFFF])
def test_a_row_of_any_length_keeps_its_other_values(long):
    words = b"w" * long
    for positions, values in (({0}, (MASK.encode(), words, b"1")), ({1}, (b"7", MASK.encode(), b"1"))):
        changed = mask_of(Splice.TEXT, positions).rows(rows_of(text(b"7", words, b"1")))
        assert changed == rows_of(text(*values))
    assert mask_of(Splice.TEXT, {1}).rows(rows_of(text(None, None, None), text(b"1", b"", None))) == rows_of(
        text(None, MASK.encode(), None), text(b"1", MASK.encode(), None)
    )


def test_binary_rows_keep_their_other_values_and_nulls():
    for place in range(3):
        for values in ((7, "words" * 60, 0.5), (None, None, None), (-1, "", None)):
            kinds = tuple(ColumnKind.VARCHAR if at == place else kind for at, kind in enumerate(KINDS))
            wanted = tuple(MASK if at == place else value for at, value in enumerate(values))
            changed = mask_of(Splice.BINARY, {place}).rows(rows_of(binary_row(values, KINDS)))
            assert changed == rows_of(binary_row(wanted, kinds))


@pytest.mark.parametrize("splice", Splice)
@pytest.mark.parametrize("payload", [b"", b"\x05ab", b"\x011\x012", b"\xff\0\0\0", b"\0\0" + b"\x09" * 8, b"\x01a" * 4])
def test_a_row_that_is_not_what_it_says_is_not_handed_on(splice, payload):
    with pytest.raises((ValueError, IndexError)):
        mask_of(splice, {1}).rows(rows_of(payload))


def test_rows_that_are_cut_off_are_not_handed_on():
    whole = rows_of(text(b"7", b"x", b"1"))
    for data, rows in ((whole.data[:-1], 1), (bytes(whole.data) * 2, 1)):
        with pytest.raises(ValueError):
            mask_of(Splice.TEXT, {1}).rows(SplicedRows(data=data, rows=rows, packets=rows))
