"""
A gateway as people meet it: the real program, on a real cluster, at a Unix socket and on TCP with TLS.

`gateways` is a function from a running cluster to its gateway; one is started for each cluster and test module.
"""

import datetime as dt
import ipaddress
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from safeconsole.demo.binaries import FLAVOURS
from tests.harness.desk import _configuration, _policy, home_of

READY_SECONDS = 60


class Gateway:
    """
    One running gateway.

    Attributes:
        cluster: what it serves.
        socket: the path of its Unix socket; whoever connects is the account that runs the tests.
        host, port: its TCP address; TLS is offered, `ca` vouches for it.
        directory: its configuration, tokens and journals.
    """

    def __init__(self, cluster, directory, process, said, errors):
        self.cluster, self.directory, self.process = cluster, directory, process
        self.socket, self.health = said["socket"], said.get("health", "")
        self.host, port = said["listen"].rsplit(":", 1)
        self.port = int(port)
        self.ca = directory / "tls" / "server.pem"
        self._errors = errors

    @property
    def said(self):
        """What it wrote to standard error so far."""
        return self._errors.read_text()

    def token(self, person, *words):
        """Issue a token with the program's own command."""
        return self.command("token", "issue", person, *words).stdout.strip()

    def command(self, *words, **environ):
        """Run the program with the gateway's configuration."""
        return subprocess.run(
            [sys.executable, "-m", "safeconsole", "--config", str(self.directory / "config.toml"), *words],
            capture_output=True,
            text=True,
            env=environment(self.directory) | environ,
            cwd=Path(__file__).parents[2],
        )

    def connect(self, person="anna", token=None, **how):
        """Connect PyMySQL over TCP with TLS, as a person with a token of theirs."""
        password = self.token(person) if token is None else token
        if how.pop("tls", True):
            how["ssl"] = ssl.create_default_context(cafile=str(self.ca))
        return pymysql.connect(
            host=self.host, port=self.port, user=person, password=password,
            **{"database": "shop", "read_timeout": 60, "autocommit": True, **how},
        )  # fmt: skip

    def connect_socket(self, **how):
        """Connect PyMySQL at the Unix socket, as the account that runs the tests."""
        return pymysql.connect(
            unix_socket=self.socket, user="x", **{"database": "shop", "read_timeout": 60, "autocommit": True, **how}
        )

    def records(self, kind, person=""):
        """The journals' records of one kind, of a person's sessions or of all."""
        found = []
        for path in sorted((self.directory / "audit" / "sessions").glob("*.jsonl")):
            records = [json.loads(line)["record"] for line in path.read_text().splitlines()]
            if not person or records[0]["person"] == person:
                found += [record for record in records if record["type"] == kind]
        return found

    def wait_until_left(self, person, at_most=20.0):
        """Wait until no session of a person is open any more."""
        deadline = time.monotonic() + at_most
        while len(self.records("session-opened", person)) > len(self.records("session-closed", person)):
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def stop(self, how=signal.SIGTERM):
        """End it; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(timeout=90)


def environment(directory):
    return {"HOME": str(directory), "USER": "gw", "PATH": os.environ["PATH"]}


@contextmanager
def serving(cluster, directory, *, settings="", words=(), two_persons="", tls=True, nodes=None, **cluster_settings):
    """
    Serve a cluster.

    Args:
        settings: further lines of the configuration, such as a table [gateway].
        words: further options of the command.
        two_persons: effects that two persons have to agree to, over the shipped baseline.
        nodes: node name to address, where it is not the cluster's own.
    """
    directory.mkdir(exist_ok=True)
    demo = {"environment": "demo", "demo": str(home_of(cluster))}
    at = nodes or {node.name: f"{node.host}:{node.port}" for node in cluster.nodes}
    policy = _policy(directory, {}, {}, ())
    if two_persons:
        text = policy.read_text()
        assert "\nelevation:\n" in text
        policy.write_text(text.replace("\nelevation:\n", f"\nelevation:\n  two_persons: [{two_persons}]\n", 1))
    config = _configuration(cluster, directory, at, policy, {**demo, **cluster_settings})
    config.write_text(f"{config.read_text()}{settings}\n")
    # A socket's path has to be short, wherever pytest works.
    place = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    certificate, key = make_certificate(directory / "tls")
    errors = directory / "gateway.err"
    with errors.open("wb") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "safeconsole", "--config", str(config), "gateway", "shop",
             "--socket", str(place / "g.sock"), "--listen", "127.0.0.1:0",
             *(("--tls-cert", str(certificate), "--tls-key", str(key)) if tls else ()), *words],
            stdout=subprocess.PIPE,
            stderr=told,
            env=environment(directory),
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
    try:
        line = process.stdout.readline()
        assert line, errors.read_text()
        yield Gateway(cluster, directory, process, json.loads(line), errors)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        process.stdout.close()
        (place / "g.sock").unlink(missing_ok=True)
        place.rmdir()
    said = errors.read_text()
    assert "Traceback" not in said, said


def make_certificate(directory, *, name="localhost", issuer=None, authority=False):
    """
    Make a certificate and its key, and return their paths.

    Args:
        issuer: paths of the authority that signs it; itself where it is None.
    """
    directory.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    signer, by = key, subject
    if issuer is not None:
        by = x509.load_pem_x509_certificate(issuer[0].read_bytes()).subject
        signer = serialization.load_pem_private_key(issuer[1].read_bytes(), None)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=authority or issuer is None, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )
    stem = "server" if name == "localhost" else name
    certificate, private = directory / f"{stem}.pem", directory / f"{stem}.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.touch(mode=0o600)
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private


@pytest.fixture(scope="module")
def gateways(shared_clusters, tmp_path_factory):
    """A function from a flavour to a gateway in front of the run's cluster of it; never stop it."""
    running, opened = {}, []

    def gateway_of(flavour):
        if flavour not in running:
            manager = serving(shared_clusters(flavour), tmp_path_factory.mktemp("gateway"))
            running[flavour] = manager.__enter__()
            opened.append(manager)
        return running[flavour]

    yield gateway_of
    for manager in opened:
        manager.__exit__(None, None, None)


@pytest.fixture(scope="module", params=FLAVOURS)
def gateway(request, gateways):
    """A gateway of each flavour in turn."""
    return gateways(request.param)
