"""The server's answer out of a stream of bytes, however the stream is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymysql import err

from safeconsole.mysql.answers import BATCH_ROWS, Field, ResultEnd, packet_batches, read_head, read_texts
from safeconsole.mysql.answers import row_batches
from safeconsole.mysql.answers import column_of, decoder_of
from safeconsole.mysql.protocol import Packets, PacketTooLargeError
from safeconsole.mysql.protocol import decode_rows, offers_metadata

EOF = b"\xfe\x00\x00\x02\x00"
TEXT = Field(name="t", type_code=253, flags=0, character_set=255)


MARIADB = (
    b"\n5.5.5-10.11.18-MariaDB-0+deb12u1\0" + b"\x2a\0\0\0" + b"saltsalt" + b"\0" + b"\xfe\xf7" + b"\x2d" + b"\2\0"
    b"\xff\x81" + b"\x15" + b"\0" * 6 + b"\x1d\0\0\0" + b"saltsaltsalt\0" + b"mysql_native_password\0"
)
"""A server's greeting, as MariaDB 10.11 sends it."""


def framed(*payloads):
    """Payloads as packets."""
    out, number = b"", 0
    for payload in payloads:
        for start in range(0, len(payload) + 1, 0xFFFFFF):
            part = payload[start : start + 0xFFFFFF]
            out += len(part).to_bytes(3, "little") + bytes([number % 256]) + part
            number += 1
    return out


def lenenc(value):
    if value is None:
        return b"\xfb"
    size = len(value)
    if size < 251:
        return bytes([size]) + value
    if size < 1 << 16:
        return b"\xfc" + size.to_bytes(2, "little") + value
    if size < 1 << 24:
        return b"\xfd" + size.to_bytes(3, "little") + value
    return b"\xfe" + size.to_bytes(8, "little") + value


def packets_of(data, sizes=(65_536,), ceiling_bytes=64 * 1024 * 1024):
    """Packets over bytes that arrive in pieces of the given sizes, over and over."""
    state = {"at": 0, "turn": 0}

    def read(count):
        size = max(1, min(sizes[state["turn"] % len(sizes)], count))
        state["turn"] += 1
        piece = data[state["at"] : state["at"] + size]
        state["at"] += len(piece)
        return piece

    return Packets(read, ceiling_bytes=ceiling_bytes)


values = st.one_of(st.none(), st.text(max_size=400).map(str.encode))
tables = st.integers(1, 4).flatmap(lambda width: st.lists(st.tuples(*[values] * width), max_size=20))


@given(tables, st.lists(st.integers(1, 70), min_size=1, max_size=5))
def test_rows_come_out_as_they_went_in_however_the_bytes_arrive(rows, sizes):
    data = framed(*(b"".join(map(lenenc, row)) for row in rows), EOF)
    end = ResultEnd()
    width = len(rows[0]) if rows else 1
    decoders = [decoder_of(TEXT, as_text=True)] * width
    found = [row for batch in row_batches(packets_of(data, sizes), decoders, end) for row in batch]
    assert found == [tuple(None if value is None else value.decode() for value in row) for row in rows]
    assert (end.reached, end.status) == (True, 2)


@given(tables, st.lists(st.integers(1, 70), min_size=1, max_size=5), st.data())
def test_packets_are_handed_on_byte_for_byte_and_counted(rows, sizes, data):
    sent = framed(*(b"".join(map(lenenc, row)) for row in rows))
    end = ResultEnd()
    batches = list(packet_batches(packets_of(sent + framed(EOF), sizes), end))
    assert b"".join(batch.data for batch in batches) == sent
    assert (sum(map(len, batches)), sum(batch.packets for batch in batches)) == (len(rows), len(rows))
    assert (end.reached, end.status) == (True, 2)
    if batches:
        batch = data.draw(st.sampled_from(batches))
        count = data.draw(st.integers(0, len(batch) + 2))
        first = batch[:count]
        rest = packets_of(bytes(first.data) + framed(EOF))
        assert sum(map(len, packet_batches(rest, ResultEnd()))) == len(first) == min(count, len(batch))


def test_a_row_of_several_packets_is_one_row():
    row = lenenc(b"y" * 0xFFFFFF + b"end")
    sent = framed(row, lenenc(b"x"))
    batches = list(packet_batches(packets_of(sent + framed(EOF)), ResultEnd()))
    assert b"".join(batch.data for batch in batches) == sent
    assert [(len(batch), batch.packets) for batch in batches] == [(1, 2), (1, 1)]


def test_packets_over_the_ceiling_are_not_taken_in():
    sent = framed(lenenc(b"x"), lenenc(b"y" * 3000), EOF)
    rows = packet_batches(packets_of(sent, ceiling_bytes=1000), ResultEnd())
    assert len(next(rows)) == 1
    with pytest.raises(PacketTooLargeError):
        next(rows)


def test_batches_are_bounded_by_rows_and_by_bytes():
    data = framed(*[lenenc(b"x")] * (BATCH_ROWS + 10), EOF)
    sizes = [len(batch) for batch in row_batches(packets_of(data), [bytes], ResultEnd())]
    assert max(sizes) <= BATCH_ROWS
    assert sum(sizes) == BATCH_ROWS + 10
    wide = framed(*[lenenc(b"x" * 200_000)] * 10, EOF)
    assert max(len(batch) for batch in row_batches(packets_of(wide), [bytes], ResultEnd())) <= 4


def test_a_row_of_many_megabytes_is_joined():
    value = b"y" * 0xFFFFFF + b"end"
    data = framed(lenenc(value), EOF)
    (batch,) = row_batches(packets_of(data), [bytes], ResultEnd())
    assert batch == [(value,)]


def test_a_row_that_looks_like_an_end_is_a_row():
    # The length of a 16 MB value begins with the byte of an end marker.
    value = b"z" * (1 << 24)
    data = framed(lenenc(value), EOF)
    (batch,) = row_batches(packets_of(data), [bytes], ResultEnd())
    assert len(batch[0][0]) == 1 << 24


@pytest.mark.parametrize("size", [1_001, 0xFFFFFF + 5])
def test_a_packet_over_the_ceiling_is_not_taken_in(size):
    packets = packets_of(framed(b"x" * size), ceiling_bytes=1_000 if size < 9_999 else 0xFFFFFF + 1)
    with pytest.raises(PacketTooLargeError):
        packets.next()


def test_the_servers_error_in_the_middle_of_rows_is_raised():
    data = framed(lenenc(b"a"), b"\xff\xd0\x0b#70100interrupted")
    rows = row_batches(packets_of(data), [bytes], ResultEnd())
    found = []
    with pytest.raises(err.OperationalError) as caught:
        for batch in rows:
            found += batch
    assert caught.value.args[0] == 3024
    assert found in ([], [(b"a",)])


@given(st.integers(0, 60))
def test_a_stream_that_breaks_off_is_a_lost_connection(cut):
    data = framed(lenenc(b"abcdefgh" * 5), lenenc(b"abc"), EOF)
    rows = row_batches(packets_of(data[: min(cut, len(data) - 1)]), [bytes], ResultEnd())
    with pytest.raises(err.OperationalError) as caught:
        list(rows)
    assert caught.value.args[0] == 2013


def test_a_short_answer_is_read_as_texts_without_its_description():
    rows = (lenenc(b"30") + lenenc(None), lenenc(b"") + lenenc("ü".encode()))
    answer = framed(b"\x02", b"a definition", b"another one", EOF, *rows, EOF)
    assert read_texts(packets_of(answer, (7,))) == ([("30", None), ("", "ü")], 2)


@pytest.mark.parametrize("first", [b"\x00\x00\x00\x02\x00\x00\x00", b"\xfc\x00\x01", b"\xfb/etc/passwd"])
def test_what_is_no_short_answer_is_refused(first):
    with pytest.raises(ValueError, match="not a small result set"):
        read_texts(packets_of(framed(first)))


def test_the_servers_error_to_a_short_question_is_raised():
    with pytest.raises(err.MySQLError):
        read_texts(packets_of(framed(b"\xff\x48\x04#HY000unknown")))


def test_a_request_for_a_local_file_is_not_met():
    with pytest.raises(err.OperationalError):
        read_head(packets_of(framed(b"\xfb/etc/passwd")))


def test_bytes_that_are_no_text_are_shown_and_never_fail():
    assert decode_rows([lenenc(b"a\xffb")], [decoder_of(TEXT, as_text=True)]) == [("a\\xffb",)]


NUMBER = Field(name="n", type_code=3, flags=0, character_set=63)


@given(st.lists(st.one_of(values, st.binary(max_size=300)), min_size=1, max_size=6))
def test_a_row_of_texts_is_read_as_beside_a_number(row):
    """Rows of nothing but texts take a way of their own."""
    texts = [decoder_of(TEXT, as_text=True)] * len(row)
    payload = b"".join(map(lenenc, row))
    (alone,) = decode_rows([payload], texts)
    (beside,) = decode_rows([payload + lenenc(b"7")], [*texts, decoder_of(NUMBER, as_text=False)])
    assert (*alone, 7) == beside


@pytest.mark.parametrize("decoders", [[decoder_of(TEXT, as_text=True)], [bytes]])
@pytest.mark.parametrize(("payload", "error"), [(b"", IndexError), (b"\xff\x01x", ValueError)])
def test_a_row_that_is_no_row_is_refused(payload, error, decoders):
    with pytest.raises(error):
        decode_rows([payload], decoders)


def test_what_has_arrived_is_handed_over_before_more_is_waited_for():
    data = framed(*[lenenc(b"abc")] * 3, EOF)
    pieces = iter([data[:20], data[20:]])
    read = []

    def waiting(_count):
        read.append(next(pieces))
        return read[-1]

    batches = row_batches(Packets(waiting, ceiling_bytes=1_000), [bytes], ResultEnd())
    assert (next(batches), len(read)) == ([(b"abc",), (b"abc",)], 1)
    assert (next(batches), len(read)) == ([(b"abc",)], 2)
    assert list(batches) == []


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=30), st.integers(1, 90))
def test_the_bytes_of_rows_are_counted_as_they_are_taken(rows, size):
    payloads = [lenenc(row) for row in rows]
    packets = packets_of(framed(*payloads, EOF), (size,))
    taken = 0
    for batch in row_batches(packets, [bytes], ResultEnd()):
        taken += sum(len(lenenc(value)) for (value,) in batch)
        assert packets.taken_bytes == taken


def test_columns_say_their_type():
    def named(code, flags=0, character_set=255):
        return column_of(Field(name="c", type_code=code, flags=flags, character_set=character_set))

    assert named(3).type_name == "int"
    assert named(8, flags=32).type_name == "bigint unsigned"
    assert named(246).numeric
    assert (named(252, character_set=63).type_name, named(252, character_set=63).binary) == ("blob", True)
    assert (named(252).type_name, named(252).binary) == ("text", False)
    assert named(254, flags=256).type_name == "enum"
    assert (named(245, character_set=63).type_name, named(245, character_set=63).binary) == ("json", False)
    assert named(16, character_set=63).binary
    assert named(199).type_name == "type 199"


NUMBERS = st.integers(0, 250) | st.integers(0, 2**40)
SHORTS = st.integers(0, 0xFFFF)


def lenenc_number(value):
    if value < 251:
        return bytes([value])
    if value < 1 << 16:
        return b"\xfc" + value.to_bytes(2, "little")
    if value < 1 << 24:
        return b"\xfd" + value.to_bytes(3, "little")
    return b"\xfe" + value.to_bytes(8, "little")


@given(NUMBERS, NUMBERS, SHORTS, SHORTS, st.binary(max_size=20))
def test_what_is_done_is_read_however_large_its_numbers(changed, inserted, status, warnings, info):
    shorts = status.to_bytes(2, "little") + warnings.to_bytes(2, "little")
    head = read_head(packets_of(framed(b"\x00" + lenenc_number(changed) + lenenc_number(inserted) + shorts + info)))
    assert (head.changed_rows, head.inserted_id, head.status, head.warnings) == (changed, inserted, status, warnings)
    assert head.fields == ()


@given(st.text(max_size=400), st.integers(0, 255), SHORTS, SHORTS)
def test_a_column_is_read_however_long_its_name(name, kind, flags, character_set):
    encoded = name.encode()[:1024]
    fixed = (
        b"\x0c"
        + character_set.to_bytes(2, "little")
        + b"\0\0\0\0"
        + bytes([kind])
        + flags.to_bytes(2, "little")
        + b"\0\0\0"
    )
    texts = b"".join(map(lenenc, (b"def", b"shop", b"o", b"orders", encoded, b"x" * 300)))
    (field,) = read_head(packets_of(framed(b"\x01", texts + fixed, EOF))).fields
    assert field.name == encoded.decode("utf-8", "backslashreplace")
    assert (field.type_code, field.flags, field.character_set) == (kind, flags, character_set)


@given(
    st.lists(
        st.sampled_from([b"", b"\1\4json", b"\0\4uuid", b"\0\7" + b"\1\4jsox", b"\0\xfa" + b"x" * 250]), max_size=5
    )
)
def test_what_mariadb_says_beside_a_column_is_taken_out_of_it(metadata):
    texts = b"".join(map(lenenc, (b"def", b"shop", b"o", b"orders", b"doc", b"x" * 300)))
    fixed = b"\x0c\x2d\0\xff\xff\xff\xff\xfc\0\0\0\0\0"
    plain = framed(bytes([len(metadata)]), *[texts + fixed] * len(metadata), EOF)
    packets = packets_of(framed(bytes([len(metadata)]), *(texts + lenenc(each) + fixed for each in metadata), EOF))
    packets.extended = True
    head = read_head(packets)
    assert head.raw == plain
    names = [column_of(field).type_name for field in head.fields]
    assert names == ["json" if b"json" in each else "text" for each in metadata]


@pytest.mark.parametrize("greeting", [MARIADB, MARIADB.replace(b"\x1d\0\0\0", b"\x15\0\0\0"), b"\n5.5.5\0", b"", b"\n"])
def test_metadata_are_asked_for_where_they_are_offered(greeting):
    assert offers_metadata(greeting) is (greeting == MARIADB)


def test_a_column_whose_name_is_nonsense_is_an_error():
    with pytest.raises(ValueError, match="begins with 254"):
        _ = read_head(packets_of(framed(b"\x01", b"\xfe" * 40, EOF))).fields


@given(
    st.lists(st.binary(min_size=1, max_size=40).filter(lambda each: each[0] != 0xFF), max_size=30),
    st.lists(st.integers(1, 50), min_size=1, max_size=5),
    st.data(),
)
def test_what_is_skipped_is_exactly_what_was_asked_for(payloads, sizes, data):
    packets = packets_of(framed(*payloads), sizes)
    count = data.draw(st.integers(0, len(payloads)))
    packets.skip(count)
    assert [packets.next() for _ in payloads[count:]] == payloads[count:]
    assert packets.taken_bytes == sum(map(len, payloads))


def test_an_error_among_what_is_skipped_is_raised():
    packets = packets_of(framed(b"a", b"\xff\x28\x04#42000no", b"b"))
    with pytest.raises(err.MySQLError):
        packets.skip(3)
    assert packets.next() == b"b"
