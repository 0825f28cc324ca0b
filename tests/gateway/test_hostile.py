"""Clients that mean no good, or speak no protocol: nothing runs, no thread stays, and the next one is served."""

import ssl
import struct
import threading
import time
from contextlib import suppress
import pymysql
import pymysql._auth
import pytest

from tests.gateway.fuzzing import PERSON, SEED, Bare, fuzz, is_error, login, threads_of
from tests.harness.gateway import serving
from tests.harness.talking import wait_for

MARK = "SELECT 'hostile' AS mark"


@pytest.fixture(scope="module")
def gateway(gateways):
    return gateways("mysql")


@pytest.fixture(autouse=True)
def nothing_stays(gateway):
    """After each test, as many threads as before, and a client is served."""
    with gateway.connect_socket() as connection:
        connection.ping()
    deadline = time.monotonic() + 5
    before = threads_of(gateway)
    yield
    deadline = time.monotonic() + 30
    while threads_of(gateway) > before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert threads_of(gateway) <= before
    with gateway.connect_socket() as connection:
        connection.ping()
    assert "hostile" not in " ".join(record["sql"] for record in gateway.records("asked"))
    assert "Error" not in gateway.said, gateway.said


def test_a_token_lets_its_own_person_in_and_nobody_else(gateway):
    token = gateway.token("anna")
    with gateway.connect("anna", token) as connection:
        connection.ping()
    for person, password in (("bob", token), ("anna", token[:-1]), ("anna", ""), ("root", ""), ("anna", "x")):
        with pytest.raises(pymysql.err.OperationalError) as raised:
            gateway.connect(person, password)
        assert raised.value.args[0] == 1045
        assert f"access denied for '{person}'" in raised.value.args[1]


def test_a_revoked_token_lets_nobody_in_and_sends_away_who_is_in(gateway):
    token = gateway.token("carl")
    with gateway.connect("carl", token) as connection:
        (record,) = [each for each in gateway.records("notice", "carl") if each["what"] == "client connected"]
        token_id = record["detail"].split("by token ")[1].split(",")[0]
        assert gateway.command("token", "revoke", token_id).returncode == 0
        deadline = time.monotonic() + 10
        with pytest.raises(pymysql.err.OperationalError):
            while time.monotonic() < deadline:
                connection.ping(reconnect=False)
                time.sleep(0.05)
        connection._force_close()
    with pytest.raises(pymysql.err.OperationalError) as raised:
        gateway.connect("carl", token)
    assert raised.value.args[0] == 1045


def test_a_token_that_is_over_lets_nobody_in(gateway):
    token = gateway.token("dora", "--for", "1s")
    time.sleep(1.2)
    with pytest.raises(pymysql.err.OperationalError) as raised:
        gateway.connect("dora", token)
    assert raised.value.args[0] == 1045


@pytest.mark.parametrize("local", [False])
def test_a_client_that_goes_on_after_the_error_runs_nothing(gateway, local):
    with Bare(gateway, local=local) as client:
        assert is_error(client.log_in("anna", "wrong"), 1045)
        for number in range(20):
            client.send(b"\x03" + MARK.encode(), 0)
        assert client.is_closed()


def test_a_query_in_the_same_write_as_a_wrong_login_is_not_run(gateway):
    with Bare(gateway) as client:
        _, _, nonce = client.greeting()
        payload = login("anna", pymysql._auth.scramble_caching_sha2(b"wrong", nonce))
        query = b"\x03" + MARK.encode()
        client.sock.sendall(
            len(payload).to_bytes(3, "little") + b"\1" + payload + len(query).to_bytes(3, "little") + b"\0" + query
        )
        assert is_error(client.read(), 1045)
        assert client.is_closed()


def test_plaintext_behind_a_request_for_tls_ends_it(gateway):
    token = gateway.token("anna")
    with Bare(gateway) as client:
        _, capabilities, nonce = client.greeting()
        assert capabilities & 0x800
        proof = pymysql._auth.scramble_caching_sha2(token.encode(), nonce)
        request = struct.pack("<IIB23x", 0x0028AA09, 1 << 24, 45)
        behind = login("anna", proof)
        query = b"\x03" + MARK.encode()
        client.sock.sendall(
            b"\x20\0\0\1" + request
            + len(behind).to_bytes(3, "little") + b"\2" + behind
            + len(query).to_bytes(3, "little") + b"\0" + query
        )  # fmt: skip
        assert client.is_closed()
    with Bare(gateway) as client:
        _, _, nonce = client.greeting()
        client.sock.sendall(b"\x20\0\0\1" + request)
        context = ssl.create_default_context(cafile=str(gateway.ca))
        client.sock = context.wrap_socket(client.sock, server_hostname="localhost")
        client.sequence = 2
        client.send(login("anna", proof[:-1] + b"x"))
        assert is_error(client.read(), 1045)
        assert client.is_closed()


def test_nothing_is_offered_that_would_change_the_packets(gateway):
    with Bare(gateway) as client:
        _, capabilities, _ = client.greeting()
    # Compression, session tracking, OK for EOF, zstd, query attributes, optional metadata.
    for bit in (5, 23, 24, 25, 26, 27):
        assert not capabilities & 1 << bit
    assert capabilities & 1


def test_fuzzed_packets_end_the_connection_or_are_answered(gateway):
    """The same in every run; `python -m tests.gateway.fuzzing` sends a hundred thousand."""
    before = len(gateway.records("intent", PERSON))
    assert fuzz(gateway, packets=900, seed=SEED) >= 900
    for record in gateway.records("intent", PERSON)[before:]:
        assert record["account"] == "read"


def test_who_sends_a_byte_at_a_time_keeps_nobody_out(gateway):
    """More of them than may log in at once, each within every single deadline; all are gone after the login's own."""
    before, payload = threads_of(gateway), login("anna", b"x" * 32)
    slow = [Bare(gateway) for _ in range(70)]
    try:
        sent = (len(payload).to_bytes(3, "little") + b"\1" + payload)[:60]
        for place, byte in enumerate(sent[:20]):
            for client in slow:
                with suppress(OSError):
                    client.sock.sendall(bytes((byte,)))
            if place % 4 == 3 and place > 6:
                with gateway.connect_socket() as connection:
                    connection.ping()
            time.sleep(0.2)
        wait_for(lambda: threads_of(gateway) <= before)
    finally:
        for client in slow:
            client.sock.close()


def test_who_says_nothing_holds_no_thread(gateway):
    before = threads_of(gateway)
    opened = [Bare(gateway) for _ in range(20)]
    for client in opened:
        client.greeting()
    for client in opened:
        client.sock.close()
    deadline = time.monotonic() + 20
    while threads_of(gateway) > before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert threads_of(gateway) <= before


def test_too_many_failures_are_refused_before_they_are_looked_at(mysql, tmp_path):
    with serving(mysql, tmp_path / "own") as own:
        token = own.token("anna")
        for _ in range(10):
            with pytest.raises(pymysql.err.OperationalError):
                own.connect("anna", "wrong")
        with pytest.raises(pymysql.err.OperationalError) as raised:
            own.connect("anna", token)
        assert raised.value.args[0] == 1045
        # Another way in is not shut by it.
        with own.connect_socket() as connection:
            connection.ping()


@pytest.fixture
def mysql(shared_clusters):
    return shared_clusters("mysql")


def test_many_at_once_are_told_that_there_is_no_room(mysql, tmp_path):
    with serving(mysql, tmp_path / "own", settings="[gateway]\nclients = 3\nclients_a_person = 2\n") as own:
        held = [own.connect_socket(), own.connect_socket()]
        with pytest.raises(pymysql.err.MySQLError) as raised:
            own.connect_socket()
        assert "as many as one person may have" in raised.value.args[1]
        held.append(own.connect("anna"))
        with pytest.raises(pymysql.err.OperationalError) as raised:
            own.connect("anna", "x")
        assert raised.value.args[0] == 1040
        for connection in held:
            connection.close()
