"""Clients that mean no good, or speak no protocol: nothing runs, no thread stays, and the next one is served."""

import random
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path

import pymysql
import pymysql._auth
import pytest

from tests.harness.gateway import serving

SEED = 20_231_107
MARK = "SELECT 'hostile' AS mark"


class Bare:
    """A socket that speaks packets, and nothing by itself."""

    def __init__(self, gateway, *, local=False):
        if local:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(gateway.socket)
        else:
            self.sock = socket.create_connection((gateway.host, gateway.port))
        self.sock.settimeout(20)
        self.sequence = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def read(self):
        head = self._exactly(4)
        if head is None:
            return None
        self.sequence = head[3] + 1
        return self._exactly(int.from_bytes(head[:3], "little"))

    def _exactly(self, count):
        got = b""
        while len(got) < count:
            try:
                part = self.sock.recv(count - len(got))
            except ConnectionError:
                return None
            if not part:
                return None
            got += part
        return got

    def send(self, payload, sequence=None):
        number = self.sequence if sequence is None else sequence
        try:
            self.sock.sendall(len(payload).to_bytes(3, "little") + bytes((number & 0xFF,)) + payload)
        except ConnectionError:
            return False
        return True

    def greeting(self):
        payload = self.read()
        at = payload.index(b"\0", 1) + 1
        low = int.from_bytes(payload[at + 13 : at + 15], "little")
        high = int.from_bytes(payload[at + 18 : at + 20], "little")
        nonce = payload[at + 4 : at + 12] + payload[at + 31 : at + 43]
        return int.from_bytes(payload[at : at + 4], "little"), low | high << 16, nonce

    def log_in(self, user, password, *, plugin=b"caching_sha2_password", capabilities=0x0028A209):
        _, _, nonce = self.greeting()
        proof = pymysql._auth.scramble_caching_sha2(password.encode(), nonce) if password else b""
        self.send(login(user, proof, plugin=plugin, capabilities=capabilities))
        answer = self.read()
        while answer == b"\x01\x03":
            answer = self.read()
        return answer

    def is_closed(self):
        """Whether the other side ends it, whatever it says before."""
        try:
            while True:
                if not self.sock.recv(65536):
                    return True
        except ConnectionError:
            return True
        except TimeoutError:
            return False


def login(user, proof, *, plugin=b"caching_sha2_password", capabilities=0x0028A209):
    head = struct.pack("<IIB23x", capabilities, 1 << 24, 45)
    return head + user.encode() + b"\0" + bytes((len(proof),)) + proof + b"shop\0" + plugin + b"\0"


def is_error(payload, number):
    return payload is not None and payload[0] == 0xFF and int.from_bytes(payload[1:3], "little") == number


def threads_of(gateway):
    names = (path.read_text().strip() for path in Path(f"/proc/{gateway.process.pid}/task").glob("*/comm"))
    return sum(1 for _ in names)


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
    """Packets of a login and of commands, each with bytes changed, cut or doubled; the same in every run."""
    chance = random.Random(SEED)
    token = gateway.token("fay")
    commands = [
        b"\x03SELECT 1", b"\x16SELECT ? + ?", b"\x17\1\0\0\0\0\1\0\0\0\0\1\x08\0\x08\0" + bytes(16), b"\x18\1\0\0\0\0\0abc",
        b"\x19\1\0\0\0", b"\x1a\1\0\0\0", b"\x04orders\0", b"\x02shop", b"\x0c\1\0\0\0", b"\x1b\0\0", b"\x1c\1\0\0\0\1\0\0\0",
        b"\x0e", b"\x09", b"\x1f", b"\x11anna\0", b"\x12", b"\x1d", b"\xfa\1\0\0\0", b"\xff",
        b"\x03SET NAMES utf8mb4", b"\x03CALL safeconsole.status()", b"\x03SHOW WARNINGS",
    ]  # fmt: skip
    before = len(gateway.records("intent", "fay"))
    for _ in range(60):
        with Bare(gateway) as client:
            _, _, nonce = client.greeting()
            good = login("fay", pymysql._auth.scramble_caching_sha2(token.encode(), nonce))
            client.send(bent(chance, good) if chance.random() < 0.7 else good, chance.choice((1, 1, 1, 0, 7)))
            for _ in range(chance.randrange(30)):
                if not client.send(bent(chance, chance.choice(commands)), chance.choice((0, 0, 0, 0, 3))):
                    break
            with suppress(OSError):
                client.sock.sendall(chance.randbytes(chance.randrange(64) * (chance.random() < 0.3)))
                client.sock.shutdown(socket.SHUT_WR)
            assert client.is_closed()
    for record in gateway.records("intent", "fay")[before:]:
        assert record["account"] == "read"


def bent(chance, payload):
    bytes_ = bytearray(payload)
    match chance.randrange(5):
        case 0 if bytes_:
            bytes_[chance.randrange(len(bytes_))] = chance.randrange(256)
        case 1 if bytes_:
            del bytes_[chance.randrange(len(bytes_)) :]
        case 2:
            bytes_ += chance.randbytes(chance.randrange(1, 40))
        case 3 if len(bytes_) > 2:
            start = chance.randrange(len(bytes_) - 1)
            bytes_[start : start + 2] = chance.randbytes(2)
        case _:
            pass
    return bytes(bytes_)


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
    assert threading.active_count() < 50
