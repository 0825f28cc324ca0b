"""Packets handed on as the server sent them: the same bytes that a client of its own receives."""

import struct

import pymysql
import pytest
from pymysql.constants import COMMAND

from safeconsole.cluster.engine import Splice
from safeconsole.errors import StoppedError

from tests.harness.desk import seated

ASKED = (
    "SELECT * FROM orders WHERE id < 40 ORDER BY id",
    "SELECT 1 AS one, NULL AS nothing, 1.5 AS frac, 'é🎉' AS words, x'00ff' AS raw, CAST('2026-01-31 10:11:12.5' AS"
    " DATETIME(3)) AS at_, CAST('-838:59:58.5' AS TIME(1)) AS span, 16777217.25e0 AS big, CAST(1 AS UNSIGNED) AS u",
    "SELECT id FROM orders WHERE id < 0",
    "SELECT REPEAT('x', 300) AS wide, REPEAT('y', 70000) AS wider",
)


class Direct(pymysql.connections.Connection):
    """A plain client whose answers are kept as bytes."""

    def answer(self, text, *, prepared):
        if not prepared:
            return self._asked(COMMAND.COM_QUERY, text.encode())
        self._execute_command(COMMAND.COM_STMT_PREPARE, text)
        first = self._next()[4:]
        columns, places = struct.unpack_from("<HH", first, 5)
        for count in (places, columns):
            for _ in range(count + 1 if count else 0):
                self._next()
        return self._asked(COMMAND.COM_STMT_EXECUTE, first[1:5] + struct.pack("<BI", 0, 1))

    def _asked(self, command, body):
        self._execute_command(command, body)
        packets, ends = [], 0
        while ends < 2:
            packets.append(self._next())
            ends += packets[-1][4] == 0xFE and len(packets[-1]) < 13
        return b"".join(packets[:-1])

    def _next(self):
        header = self._read_bytes(4)
        return header + self._read_bytes(int.from_bytes(header[:3], "little"))


@pytest.fixture
def direct(cluster):
    node = cluster.replicas[0]
    opened = Direct(
        host=node.host,
        port=node.port,
        user="console_read",
        password=cluster.accounts["console_read"],
        database="shop",
        charset="utf8mb4",
    )
    yield opened
    opened._force_close()


@pytest.fixture
def desk(cluster, tmp_path):
    with seated(cluster, tmp_path / "desk", to=cluster.replicas[0].name) as sat:
        yield sat


@pytest.mark.parametrize("splice", Splice)
def test_a_spliced_answer_is_the_servers_own_byte_for_byte(desk, direct, splice):
    for text in ASKED:
        (statement,) = desk.session.split(text)
        with desk.session.execute(statement, splice=splice) as result:
            got = result.head + b"".join(batch.data for batch in result)
        theirs = direct.answer(text, prepared=splice is Splice.BINARY)
        # The end of the definitions says whether a transaction is open: there is one around every read here.
        status = slice(len(result.head) - 2, len(result.head))
        assert (got[: status.start], got[status.stop :]) == (theirs[: status.start], theirs[status.stop :]), text
        assert result.ended.outcome == "done"


def test_a_row_of_several_packets_keeps_their_numbers(desk, direct):
    text = "SELECT REPEAT('x', 17000000) AS longest, 1 AS one UNION ALL SELECT 'y', 2"
    desk.session.tighten("fetched_bytes", 40_000_000)
    (statement,) = desk.session.split(text)
    with desk.session.execute(statement, splice=Splice.TEXT) as result:
        got = b"".join(batch.data for batch in result)
    assert got == direct.answer(text, prepared=False)[len(result.head) :]


def test_the_ok_of_a_change_is_handed_on(desk):
    desk.session.use("")
    (statement,) = desk.session.split("UPDATE orders SET status = 'spliced' WHERE id = 3")
    with desk.session.execute(statement, splice=Splice.BINARY) as result:
        assert list(result) == []
    assert (result.head[0], result.head[1]) == (0, 1)
    assert b"Rows matched: 1" in result.head


def test_a_row_limit_holds_for_packets(desk):
    desk.session.tighten("fetched_rows", 10)
    (statement,) = desk.session.split("SELECT id FROM orders ORDER BY id")
    found = []
    with pytest.raises(StoppedError) as raised, desk.session.execute(statement, splice=Splice.TEXT) as result:
        for batch in result:
            found.append((batch.rows, batch.packets, bytes(batch.data)))
    (rows, packets, data), *others = found
    assert (rows, packets, others, raised.value.ceiling) == (10, 10, [], "fetched_rows")
    # Ten whole packets, and no byte of an eleventh.
    position = 0
    for _ in range(10):
        position += 4 + int.from_bytes(data[position : position + 3], "little")
    assert position == len(data)


def test_an_interrupt_stops_one_statement_and_the_session_goes_on(desk):
    import threading

    timer = threading.Timer(0.5, desk.session.interrupt)
    timer.start()
    error = desk.error_of("SELECT SLEEP(20)")
    timer.join()
    assert (type(error), error.by) == (StoppedError, "person")
    assert desk.run("SELECT 1").table == [(1,)]
