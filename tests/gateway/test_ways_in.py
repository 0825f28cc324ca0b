"""The other ways in: older clients' proof, a certificate, a proxy's word for an address; and those that are not let in."""

import contextlib
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pymysql
import pymysql._auth
import pytest

from tests.gateway.fuzzing import Bare, is_error, login
from tests.harness.gateway import make_certificate, serving


@pytest.fixture(scope="module")
def own(shared_clusters, tmp_path_factory):
    directory = tmp_path_factory.mktemp("ways")
    (directory / "tls").mkdir()
    authority = make_certificate(directory / "tls", name="authority", authority=True)
    settings = f'[gateway]\nnative_password = true\nclient_ca = "{authority[0]}"\nproxies = ["127.0.0.9/32"]\n'
    with serving(shared_clusters("mariadb"), directory, settings=settings) as up:
        up.authority = authority
        yield up


def test_an_older_clients_proof_is_taken_where_it_is_configured(own):
    token = own.token("olga")
    with Bare(own) as client:
        _, _, nonce = client.greeting()
        proof = pymysql._auth.scramble_native_password(token.encode(), nonce)
        client.send(login("olga", proof, plugin=b"mysql_native_password"))
        assert client.read()[0] == 0
        client.send(b"\x0e", 0)
        assert client.read()[0] == 0
    with Bare(own) as client:
        _, _, nonce = client.greeting()
        client.send(login("olga", b"\1" * 20, plugin=b"mysql_native_password"))
        assert is_error(client.read(), 1045)


def test_a_client_with_another_plugin_is_asked_for_the_proof_that_counts(own):
    token = own.token("olga")
    with Bare(own) as client:
        _, _, nonce = client.greeting()
        client.send(login("olga", b"", plugin=b"dialog"))
        switch = client.read()
        assert switch.startswith(b"\xfecaching_sha2_password\0")
        client.send(pymysql._auth.scramble_caching_sha2(token.encode(), switch[23:43]))
        assert client.read() == b"\x01\x03"
        assert client.read()[0] == 0


def certified(own, name, user, issuer):
    certificate, key = make_certificate(own.directory / "tls", name=name, issuer=issuer)
    context = ssl.create_default_context(cafile=str(own.ca))
    context.load_cert_chain(certificate, key)
    return pymysql.connect(host=own.host, port=own.port, user=user, password="", database="shop", ssl=context)


def test_a_certificate_names_its_person_and_nobody_else(own):
    with certified(own, "cora", "cora", own.authority) as connection, connection.cursor() as cursor:
        cursor.execute("CALL safeconsole.status()")
        assert dict(cursor.fetchall())["person"] == "cora, by certificate"
    with pytest.raises(pymysql.err.OperationalError) as raised:
        certified(own, "cora", "anna", own.authority)
    assert raised.value.args[0] == 1045
    stranger = make_certificate(own.directory / "tls", name="stranger", authority=True)
    with pytest.raises((pymysql.err.OperationalError, OSError)):
        certified(own, "cyd", "cyd", stranger)


def from_proxy(own, header):
    sock = socket.socket()
    sock.bind(("127.0.0.9", 0))
    sock.connect((own.host, own.port))
    sock.settimeout(20)
    sock.sendall(header)
    return sock


def header(address, port):
    body = socket.inet_aton(address) + socket.inet_aton("127.0.0.1") + struct.pack(">HH", port, 3307)
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack(">H", len(body)) + body


def test_a_proxys_word_for_an_address_is_taken_and_demanded(own):
    """The client's own address stands in the journal; from beyond this computer it has to encrypt."""
    token = own.token("petra")
    client = Bare.__new__(Bare)
    client.sock, client.sequence = from_proxy(own, header("127.0.0.77", 4242)), 0
    with client:
        assert client.log_in("petra", token)[0] == 0
    own.wait_until_left("petra")
    (opened,) = own.records("session-opened", "petra")
    assert opened["origin"].startswith("127.0.0.77")
    client = Bare.__new__(Bare)
    client.sock, client.sequence = from_proxy(own, header("10.1.2.3", 4242)), 0
    with client:
        assert is_error(client.log_in("petra", token), 3159)
    for nonsense in (b"GET / HTTP/1.1\r\n\r\n", header("10.1.2.3", 1)[:20] + b"\xff" * 40):
        client = Bare.__new__(Bare)
        client.sock, client.sequence = from_proxy(own, nonsense), 0
        with client:
            # It may have been left already.
            with contextlib.suppress(OSError):
                client.sock.shutdown(socket.SHUT_WR)
            assert client.is_closed()


def test_who_is_no_proxy_is_not_believed(own):
    with Bare(own) as client:
        client.sock.sendall(header("10.1.2.3", 4242))
        client.greeting()
        assert client.is_closed()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_the_unit_in_the_docs_is_one(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text()
    unit = (
        textwrap.dedent(page[page.index("    # /etc/systemd/system/") : page.index("    WantedBy=")])
        + "WantedBy=multi-user.target\n"
    )
    program = re.search(r"^ExecStart=(\S+)", unit, re.MULTILINE)[1]
    (tmp_path / "gateway@.service").write_text(unit.replace(program, sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "gateway@.service")], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
