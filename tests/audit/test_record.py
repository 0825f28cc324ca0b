"""The values of the journal and the hash that chains them."""

import json
import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st


from safeconsole.audit.record import GENESIS, Entry, Noticed, hash_of, sealed
from safeconsole.audit import record


def entry(**more):
    told = {
        "version": 1,
        "session": "s",
        "number": 0,
        "time": "2026-11-07T11:49:00.000000Z",
        "offset_seconds": 0.5,
    } | more
    return Entry(previous=GENESIS, record=Noticed(what="x"), **told)


def test_an_entry_is_sealed_with_the_hash_of_its_line():
    line, digest = record.sealed_line(entry())
    assert sealed(entry()).hash == hash_of(entry()) == digest == json.loads(line)["hash"] == record.hash_in_line(line)
    assert msgspec.json.decode(line, type=Entry) == sealed(entry())


def test_the_hash_does_not_depend_on_the_hash_that_an_entry_carries():
    assert hash_of(sealed(entry())) == hash_of(entry())


def test_the_published_form_of_a_line_does_not_change():
    """Journals of years ago must verify: this line is what the first version wrote."""
    line, _ = record.sealed_line(entry())
    assert line == (
        b'{"version":1,"session":"s","number":0,"time":"2026-11-07T11:49:00.000000Z","offset_seconds":0.5,"previous":"'
        + GENESIS.encode()
        + b'","record":{"type":"notice","what":"x","detail":""},'
        b'"hash":"413fdde35c5ee7ae1e400c8832455d2870e1926a8b2fe5720a97a4160d383b58"}'
    )


@given(st.text(), st.integers(0, 300), st.integers(0, 7))
def test_no_single_bit_of_a_line_can_change(text, position, bit):
    try:
        line, _ = record.sealed_line(msgspec.structs.replace(entry(), record=Noticed(what=text)))
    except UnicodeEncodeError:
        return
    changed = bytearray(line)
    changed[position % len(line)] ^= 1 << bit
    assert record.hash_in_line(bytes(changed)) is None


@given(st.binary())
def test_no_bytes_make_the_check_raise(line):
    assert record.hash_in_line(line) is None


def test_only_a_value_that_ends_with_an_empty_hash_is_sealed():
    with pytest.raises(ValueError, match="empty hash"):
        record.sealed_line(Noticed(what="x"))
    with pytest.raises(ValueError, match="empty hash"):
        record.sealed_line(sealed(entry()))


def test_every_record_has_a_tag_of_its_own_and_says_what_it_is():
    kinds = typing.get_args(record.Record)
    tags = [kind.__struct_config__.tag for kind in kinds]
    assert len(set(tags)) == len(kinds)
    assert all(kind.__doc__ and kind.__struct_config__.frozen for kind in kinds)
