"""Notices by syslog and by mail, to real receivers, through whole sessions on the embedded cluster."""

import datetime
import email
import ipaddress
import json
import socket
import socketserver
import ssl
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from safeconsole.config.policies import PolicyFiles
from tests.people.test_notices_of_a_session import CHANGE, JUSTIFICATION, spooled

ALL = ["asked", "granted", "used", "ended (expired)"]


@contextmanager
def syslog_receiver(kind, place):
    """A syslog server's address, and the messages that it got, whole."""
    got = []
    if kind == "tcp":

        class Octets(socketserver.StreamRequestHandler):
            def handle(self):
                while length := b"".join(iter(lambda: self.rfile.read(1).strip(), b"")):
                    got.append(self.rfile.read(int(length)))

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Octets)
        address = f"tcp://127.0.0.1:{server.server_address[1]}"
    else:

        class Datagram(socketserver.DatagramRequestHandler):
            def handle(self):
                got.append(self.rfile.read())

        family = socketserver.UnixDatagramServer if kind == "socket" else socketserver.UDPServer
        server = family(str(place / "log") if kind == "socket" else ("127.0.0.1", 0), Datagram)
        address = server.server_address if kind == "socket" else f"udp://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield address, got
    finally:
        server.shutdown()
        server.server_close()


class Mailbox:
    """Takes mail, or refuses it as it is told."""

    def __init__(self):
        self.got, self.refuses = [], False

    async def handle_DATA(self, _server, session, envelope):
        if self.refuses:
            return "451 try again later"
        self.got.append((session.ssl is not None, envelope))
        return "250 taken"


@contextmanager
def mail_receiver(tls=None):
    box = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port, tls_context=tls, require_starttls=tls is not None)
    controller.start()
    try:
        yield f"127.0.0.1:{port}", box
    finally:
        controller.stop()


@pytest.fixture
def change(people):
    """A function that runs an elevated change with these notices configured; its exit code and messages."""
    demo = people.ann.config.read_text().partition("[notices]")[0]
    cluster = people._demo

    def run(notices, **environ):
        people.ann.write(f"{demo}{cluster}\n{notices}")
        for left in people.journals.parent.glob("notices/*"):
            left.unlink()
        console = people.ann.start("sql", "shop", "-e", CHANGE, *JUSTIFICATION, **environ).vouched()
        code, _ = console.end()
        return code, console.messages

    return run


def mail_settings(server, *, starttls=False):
    return (
        f'[notices.mail]\nserver = "{server}"\nsender = "safeconsole@example.net"\n'
        f'recipients = ["oncall@example.net", "dba@example.net"]\nstarttls = {str(starttls).lower()}\n'
    )


def notices(people):
    return [record["detail"] for record in people.records() if record["type"] == "notice"]


@pytest.mark.parametrize("kind", ["udp", "tcp", "socket"])
def test_syslog_gets_every_step(change, people, tmp_path, kind):
    with syslog_receiver(kind, tmp_path) as (address, got):
        code, messages = change(f'[notices]\nsyslog = "{address}"\n')
    assert code == 0, messages
    assert spooled(people) == []
    texts = [json.loads(message[message.index(b"{") :])["text"] for message in got]
    assert [text.partition(" on ")[0] for text in texts] == [f"elevation {what}" for what in ALL]
    assert all(message.startswith(b"<109>1 ") and b" notice [safeconsole@" in message for message in got)
    assert "ann@" in texts[0]
    assert CHANGE in texts[2]


def test_a_syslog_that_is_gone_is_said_and_recorded_and_stops_nothing(change, people, tmp_path):
    code, messages = change(f'[notices]\nsyslog = "{tmp_path}/nobody"\n')
    assert code == 0
    assert "a notice to syslog is not delivered yet: syslog" in messages
    assert any("syslog" in detail for detail in notices(people))
    assert spooled(people) == [".syslog"] * 4


def test_mail_gets_every_step(change, people):
    with mail_receiver() as (server, box):
        code, messages = change(mail_settings(server))
    assert code == 0, messages
    assert spooled(people) == []
    letters = [email.message_from_bytes(envelope.content) for _, envelope in box.got]
    assert [letter["Subject"] for letter in letters] == [f"safeconsole: elevation {what} on shop" for what in ALL]
    assert {tuple(envelope.rcpt_tos) for _, envelope in box.got} == {("oncall@example.net", "dba@example.net")}
    assert CHANGE in letters[2].get_payload(decode=True).decode()
    assert "incident" in letters[0].get_payload(decode=True).decode()


def test_mail_that_is_refused_goes_out_with_the_next_session(change, people):
    with mail_receiver() as (server, box):
        box.refuses = True
        code, messages = change(mail_settings(server))
        assert code == 0
        assert "a notice to mail is not delivered yet: mail 127.0.0.1" in messages
        assert spooled(people) == [".mail"] * 4
        box.refuses = False
        console = people.ann.start("sql", "shop", "-e", CHANGE, *JUSTIFICATION).vouched()
        assert console.end()[0] == 0
    assert len(box.got) == 8
    assert spooled(people) == []


@pytest.fixture
def certificate(tmp_path):
    """Files of a certificate for 127.0.0.1 that signs itself, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def test_mail_is_given_to_a_server_whose_certificate_holds_and_to_no_other(change, people, certificate):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    with mail_receiver(tls) as (server, box):
        code, messages = change(mail_settings(server, starttls=True))
        assert code == 0
        assert "not delivered yet: mail" in messages
        assert box.got == []
        code, messages = change(mail_settings(server, starttls=True), SSL_CERT_FILE=str(certificate[0]))
    assert code == 0, messages
    assert [encrypted for encrypted, _ in box.got] == [True] * 4
    assert spooled(people) == []


def test_mail_reaches_who_was_skipped_and_who_could_approve(people, receiver):
    strict = Path(PolicyFiles().load("strict").source).read_text(encoding="utf-8")
    policy = people.ann.home / "loud.yaml"
    policy.write_text(strict.replace("approval_may_be_skipped: false", "approval_may_be_skipped: true"))
    people.configure(keys="file", webhook=receiver.url, policy=str(policy))
    with mail_receiver() as (server, box):
        config = people.ann.config.read_text()
        people.ann.write(
            config + mail_settings(server) + 'addresses = {ben = "ben@example.net", eve = "eve@example.net"}\n'
        )
        console = people.ann.start(
            "sql", "shop", "-e", "ALTER TABLE customers ADD COLUMN loud TEXT", *JUSTIFICATION
        ).vouched()
        console.code()
        console.interrupt()
        console.until('type "skip shop"')
        console.type("skip shop")
        assert console.end()[0] == 0, console.messages
    reached = {
        email.message_from_bytes(envelope.content)["Subject"].split("elevation ")[1]: envelope.rcpt_tos
        for _, envelope in box.got
    }
    everybody = ["oncall@example.net", "dba@example.net"]
    assert reached["approval skipped on shop"] == [*everybody, "ben@example.net"]
    assert reached["granted on shop"] == everybody
