"""Nobody is told a password who did not prove who they are, and nobody is waited for longer than was said."""

import pytest
import socket
import ssl
import struct
import threading
import time
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec.structs import replace
from safeconsole.config.secrets import Secret
from safeconsole.config.settings import TlsSettings
from safeconsole.errors import ConfigurationError, UnreachableError
from safeconsole.mysql.dialling import NodeAddress, dial, login_for, resolve, split_address, tls_for
from safeconsole.mysql.opening import open_own
from safeconsole.mysql.login import Login
from safeconsole.mysql.wire import DriverError, Wire

PASSWORD = "hunter2-planted"
CAPABILITIES = 0x00000001 | 0x00000200 | 0x00008000 | 0x00080000
"""Long passwords, protocol 4.1, secure connections, authentication by plugins; TLS (0x800) is not among them."""


PROMPT = {b"mysql_clear_password": b"", b"dialog": b"\x04Password: "}


def greeting():
    """What a server says first. Source: MySQL internals manual, "Protocol::HandshakeV10"."""
    low, high = CAPABILITIES & 0xFFFF, CAPABILITIES >> 16
    body = b"\x0a8.4.0\0" + struct.pack("<I", 7) + b"a" * 8 + b"\0"
    body += struct.pack("<HBHHB", low, 45, 2, high, 21) + b"\0" * 10 + b"b" * 12 + b"\0" + b"caching_sha2_password\0"
    return packet(0, body)


def packet(number, body):
    return struct.pack("<I", len(body))[:3] + bytes([number]) + body


class Between(tuple):
    """The port, what was heard, the thread; and the way to log in that is asked for."""

    asks = b"mysql_clear_password"


@pytest.fixture
def man_between():
    """Takes the place of a server, offers no TLS, and asks for the password in clear; keeps what it hears."""
    heard = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        sock, _ = listening.accept()
        with sock:
            sock.settimeout(5)
            sock.sendall(greeting())
            try:
                if first := sock.recv(4096):
                    heard.append(first)
                    sock.sendall(packet(2, b"\xfe" + between.asks + b"\0" + PROMPT[between.asks]))
                    heard.append(sock.recv(4096))
            except OSError:
                return

    thread = threading.Thread(target=serve)
    between = Between((listening.getsockname()[1], heard, thread))
    thread.start()
    yield between
    listening.close()
    thread.join(10)


def test_a_server_that_offers_no_tls_is_not_told_the_password(man_between):
    port, heard, thread = man_between
    login = Login(
        host="db.example",
        ip="127.0.0.1",
        port=port,
        socket="",
        account="console_read",
        password=PASSWORD,
        tls=ssl.create_default_context(),
        connect_seconds=5,
    )
    with pytest.raises(UnreachableError) as caught:
        dial(login)
    thread.join(10)
    assert heard == []
    assert "TLS" in caught.value.message or "SSL" in caught.value.message
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("plugin", [b"mysql_clear_password", b"dialog"])
def test_whoever_has_the_loopback_port_is_not_told_the_password_in_clear(man_between, plugin):
    port, heard, thread = man_between
    man_between.asks = plugin
    login = Login(
        host="localhost",
        ip="127.0.0.1",
        port=port,
        socket="",
        account="console_read",
        password=PASSWORD,
        tls=None,
        connect_seconds=5,
    )
    with pytest.raises(UnreachableError, match="asks for the password in clear") as caught:
        dial(login)
    thread.join(10)
    assert heard
    assert not any(PASSWORD.encode() in each for each in heard)
    assert PASSWORD not in str(caught.value)


OK = b"\0\0\0\2\0\0\0"
ROWS = b"\1"


@pytest.fixture
def dripping():
    """A function from what a server answers in turn, each packet at once or byte by byte, to the port it is on."""
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve(answers, heard):
        sock, _ = listening.accept()
        with sock:
            sock.settimeout(5)
            for slow, answer in answers:
                for part in [answer[at : at + 1] for at in range(len(answer))] if slow else [answer]:
                    try:
                        sock.sendall(part)
                    except OSError:
                        return
                    if slow and over.wait(0.2):
                        return
                heard.append(sock.recv(4096))

    def start(*answers, heard=None):
        thread = threading.Thread(target=serve, args=(answers, [] if heard is None else heard))
        thread.start()
        threads.append(thread)
        return listening.getsockname()[1]

    threads = []
    yield start
    over.set()
    listening.close()
    for thread in threads:
        thread.join(10)


def login_to(port, *, connect_seconds, tls=None):
    return Login(
        host="localhost",
        ip="127.0.0.1",
        port=port,
        socket="",
        account="console_read",
        password="",
        tls=tls,
        connect_seconds=connect_seconds,
    )


HELLO, IN = (False, greeting()), (False, packet(2, OK))
# Nothing is asked for the character set: the login names it, and it goes with the guards.
SETTLED = (IN,)


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([(True, greeting())], id="greeting"),
        pytest.param([HELLO, (True, packet(2, OK * 20))], id="login"),
        pytest.param([HELLO, IN, (True, packet(1, OK * 20))], id="variant"),
        pytest.param([HELLO, *SETTLED, (True, packet(1, b"\xff" + b"x" * 60))], id="refusal"),
    ],
)
def test_a_server_that_drips_while_it_is_connected_to_is_left_in_time(dripping, answers):
    began = time.monotonic()
    with pytest.raises(UnreachableError):
        open_own(login_to(dripping(*answers), connect_seconds=1))
    assert 0.9 < time.monotonic() - began < 1.6


def test_a_handshake_of_tls_that_drips_is_left_in_time(dripping):
    tls = ssl.create_default_context()
    hello = bytearray(greeting())
    # The first byte of the capabilities that says TLS.
    hello[4 + 1 + len(b"8.4.0\0") + 4 + 8 + 1 + 1] |= 0x08
    port = dripping((False, bytes(hello)), (True, b"\x16\x03\x03\x40\x00" + b"x" * 100))
    began = time.monotonic()
    with pytest.raises(UnreachableError):
        open_own(login_to(port, connect_seconds=1, tls=tls))
    assert 0.9 < time.monotonic() - began < 1.6


@pytest.mark.parametrize("ask", [Wire.texts, Wire.rows])
def test_an_answer_that_drips_ends_the_question_in_time(dripping, ask):
    port = dripping(HELLO, *SETTLED, (True, packet(1, ROWS) + packet(2, b"x" * 100)))
    wire = dial(login_to(port, connect_seconds=5))
    wire.ready()
    wire.wait_at_most(1)
    began = time.monotonic()
    with pytest.raises((DriverError, OSError)):
        ask(wire, "SELECT 1")
    wire.discard()
    assert 0.9 < time.monotonic() - began < 1.6


IN_FULL = b"\1\4"
"""The account is not in the server's cache: it asks for the password. Source: MySQL manual, `caching_sha2_password`."""


@pytest.fixture
def wants_the_password(dripping):
    """A server that asks for the password in full; the port, and what a client then said."""
    heard = []
    return dripping((False, greeting()), (False, packet(2, IN_FULL)), heard=heard), heard


def test_beyond_loopback_no_password_is_encrypted_with_a_key_that_nothing_vouches_for(wants_the_password):
    port, heard = wants_the_password
    # On this computer and yet, as an address, not loopback.
    login = replace(login_to(port, connect_seconds=5), ip="0.0.0.0", password=PASSWORD)  # noqa: S104
    with pytest.raises(UnreachableError, match="a key that nothing vouches for") as caught:
        dial(login)
    assert "tls.server_key" in caught.value.instead
    wait_until(lambda: len(heard) == 2)
    # Neither the password, nor the question for a key.
    assert heard[1] == b""


def test_where_the_key_is_pinned_none_is_asked_for(wants_the_password):
    port, heard = wants_the_password
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pinned = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    login = replace(login_to(port, connect_seconds=1), password=PASSWORD, server_key=pinned)
    with pytest.raises(UnreachableError):
        dial(login)
    wait_until(lambda: len(heard) == 2)
    sealed = heard[1][4:]
    mangled = key.decrypt(sealed, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))  # noqa: S303
    salt = b"a" * 8 + b"b" * 12
    assert bytes(each ^ salt[at % 20] for at, each in enumerate(mangled)) == PASSWORD.encode() + b"\0"


@pytest.mark.parametrize("content", [None, "-----BEGIN CERTIFICATE-----"])
def test_a_key_that_is_none_is_an_error_of_the_configuration(tmp_path, content):
    file = tmp_path / "key.pem"
    if content is not None:
        file.write_text(content)
    place = NodeAddress(host="localhost", ip="127.0.0.1", port=1)
    with pytest.raises(ConfigurationError, match="server_key"):
        login_for(place, TlsSettings(server_key=str(file)), secret=Secret(account="a", password="b"), connect_seconds=1)


def wait_until(happened):
    until = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("db", ("db", 3306)),
        ("db:33", ("db", 33)),
        ("[::1]:33", ("::1", 33)),
        ("[::1]", ("::1", 3306)),
        ("::1", ("::1", 3306)),
    ],
)
def test_addresses_are_read(address, expected):
    assert split_address(address) == expected


@pytest.mark.parametrize("address", ["", ":3306", "db:", "db:x", "db:0", "db:70000"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ConfigurationError):
        split_address(address)


@pytest.mark.parametrize("name", ["no-such-host.invalid", "x" * 64 + ".invalid", "bücher.invalid", "ü" * 64])
def test_a_name_that_does_not_resolve_is_unreachable(name):
    with pytest.raises(UnreachableError, match="does not resolve"):
        resolve(f"{name}:3306")


@pytest.mark.parametrize(
    ("place", "settings", "encrypted"),
    [
        (NodeAddress(host="localhost", ip="127.0.0.1", port=1), TlsSettings(), False),
        (NodeAddress(host="localhost", ip="::1", port=1), TlsSettings(mode="disabled"), False),
        (NodeAddress(socket="/run/mysqld.sock"), TlsSettings(), False),
        (NodeAddress(host="db", ip="10.0.0.5", port=1), TlsSettings(), True),
    ],
)
def test_tls_is_verified_where_somebody_could_stand_between(place, settings, encrypted):
    context = tls_for(place, settings)
    assert (context is not None) is encrypted
    assert context is None or (context.check_hostname and context.verify_mode.name == "CERT_REQUIRED")


def test_the_certificates_of_this_computer_are_read_once():
    places = [NodeAddress(host=host, ip="10.0.0.5", port=1) for host in ("db-1", "db-2")]
    assert tls_for(places[0], TlsSettings()) is tls_for(places[1], TlsSettings())
    assert tls_for(places[0], TlsSettings(mode="verify-ca")) is not tls_for(places[0], TlsSettings())


def test_tls_is_not_turned_off_for_a_name_that_only_sounds_local():
    with pytest.raises(ConfigurationError, match="TLS is disabled"):
        tls_for(NodeAddress(host="localhost", ip="10.0.0.5", port=1), TlsSettings(mode="disabled"))


def test_an_authority_that_cannot_be_read_is_said_so(tmp_path):
    with pytest.raises(ConfigurationError, match="tls.ca"):
        tls_for(NodeAddress(host="db", ip="10.0.0.5", port=1), TlsSettings(ca=str(tmp_path / "none.pem")))
