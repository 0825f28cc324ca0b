"""
A client that speaks packets and nothing by itself, and packets that are bent; the same in every run.

    python -m tests.gateway.fuzzing [--packets 100000] [--seed N] [--flavour mysql|mariadb]

Sends them to a gateway of a throw-away cluster, and says what became of it: whether anything ran that is no read of the
fuzzer's own, whether a thread stays, whether it wrote of trouble, and whether the next client is served.
"""

import argparse
import os
import random
import socket
import struct
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pymysql
import pymysql._auth

SEED = 20_231_107
PERSON = "fay"


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
    return len(os.listdir(f"/proc/{gateway.process.pid}/task"))


COMMANDS = [
    b"\x03SELECT 1", b"\x16SELECT ? + ?", b"\x17\1\0\0\0\0\1\0\0\0\0\1\x08\0\x08\0" + bytes(16), b"\x18\1\0\0\0\0\0abc",
    b"\x19\1\0\0\0", b"\x1a\1\0\0\0", b"\x04orders\0", b"\x02shop", b"\x0c\1\0\0\0", b"\x1b\0\0", b"\x1c\1\0\0\0\1\0\0\0",
    b"\x0e", b"\x09", b"\x1f", b"\x11anna\0", b"\x12", b"\x1d", b"\xfa\1\0\0\0", b"\xff",
    b"\x03SET NAMES utf8mb4", b"\x03CALL safeconsole.status()", b"\x03SHOW WARNINGS",
    b"\x03SELECT * FROM safeconsole.limits WHERE value > 3 ORDER BY value", b"\x03SHOW TABLES FROM safeconsole",
    b"\x03BEGIN", b"\x03ROLLBACK", b"\x03DELETE FROM orders", b"\x03SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
]  # fmt: skip


def fuzz(gateway, *, packets, seed, told=lambda sent: None):
    """
    Send packets of a login and of commands, each perhaps with bytes changed, cut or added.

    Args:
        told: called now and then with how many were sent.

    Returns:
        How many were sent.
    """
    chance, sent = random.Random(seed), 0
    # A token may be over before many are sent.
    token = gateway.token(PERSON, "--for", "24h")
    while sent < packets:
        told(sent)
        with Bare(gateway, local=False) as client:
            greeting = client.greeting()
            if greeting is None:
                continue
            proof = pymysql._auth.scramble_caching_sha2(token.encode(), greeting[2])
            good = login(PERSON, proof)
            sent += client.send(bent(chance, good) if chance.random() < 0.4 else good, chance.choice((1, 1, 1, 1, 7)))
            for _ in range(chance.randrange(60)):
                if not client.send(bent(chance, chance.choice(COMMANDS)), 3 if chance.random() < 0.02 else 0):
                    break
                sent += 1
            with suppress(OSError):
                client.sock.sendall(chance.randbytes(chance.randrange(64) * (chance.random() < 0.3)))
                client.sock.shutdown(socket.SHUT_WR)
            if not client.is_closed():
                raise AssertionError("a client that sent its last byte was not let go")
    return sent


def bent(chance, payload):
    bytes_ = bytearray(payload)
    match chance.randrange(9):
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


def main():
    # Imported here: the tests that use this module bring their own.
    from safeconsole.demo.servers import start_cluster
    from tests.harness.gateway import serving

    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--packets", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--flavour", default="mysql")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, start_cluster(asked.flavour, Path(place) / "nodes") as cluster:
        with serving(cluster, Path(place) / "gateway") as gateway:
            gateway.connect_socket().close()
            time.sleep(3)
            before, began = threads_of(gateway), time.monotonic()
            sent = fuzz(gateway, packets=asked.packets, seed=asked.seed)
            seconds = time.monotonic() - began
            deadline = time.monotonic() + 60
            while threads_of(gateway) > before and time.monotonic() < deadline:
                time.sleep(0.2)
            ran = gateway.records("intent", PERSON)
            print(f"{sent:,} packets in {seconds:.0f} s, seed {asked.seed}")
            print(f"threads: {before} before, {threads_of(gateway)} after")
            print(
                f"statements sent to a server: {len(ran):,}, of them not as the read account:"
                f" {sum(record['account'] != 'read' for record in ran)}"
            )
            print(f"written to standard error: {gateway.said[-2000:] or 'nothing'}")
            with gateway.connect_socket() as connection:
                connection.ping()
            print("the next client is served")


if __name__ == "__main__":
    main()
