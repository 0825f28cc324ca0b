"""Servers behind a bastion: a real sshd, the system's OpenSSH, real servers."""

import contextlib
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from safeconsole.config.loading import checked_table
from safeconsole.demo.binaries import FLAVOURS
from safeconsole.errors import ConfigurationError
from tests.harness.gateway import make_certificate
from tests.harness.desk import seated

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"

pytestmark = pytest.mark.skipif(
    not (os.access(SSHD, os.X_OK) and shutil.which("ssh")), reason="no sshd here (apt-get install openssh-server)"
)


class Sshd:
    """An sshd on a loopback port of its own, and a client's configuration that calls it `bastion`."""

    def __init__(self, directory):
        self.directory, self.log = directory, directory / "sshd.log"
        directory.mkdir(mode=0o700)
        for name in ("host", "person"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)], check=True, timeout=60
            )
        shutil.copy(directory / "person.pub", directory / "authorized")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        public = " ".join((directory / "host.pub").read_text().split()[:2])
        (directory / "known").write_text(f"[127.0.0.1]:{self.port} {public}\n")
        (directory / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {directory}/host\nAuthorizedKeysFile {directory}/authorized\n"
            f"PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nLogLevel VERBOSE\n"
        )
        (directory / "ssh_config").write_text(
            f"Host bastion\n HostName 127.0.0.1\n Port {self.port}\n User {getpass.getuser()}\n"
            f" IdentityFile {directory}/person\n IdentitiesOnly yes\n UserKnownHostsFile {directory}/known\n"
        )
        self.process = None

    def start(self):
        # Privilege separation wants its directory, which a package's start-up script would make.
        with contextlib.suppress(PermissionError, FileExistsError):
            os.mkdir("/run/sshd", 0o755)
        command = [SSHD, "-D", "-e", "-f", str(self.directory / "sshd_config")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, start_new_session=True)
        until = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert time.monotonic() < until and self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)

    def stop(self):
        """End it and every connection that it holds."""
        # A connection's own process leads a session of its own.
        served = subprocess.run(["pgrep", "-P", str(self.process.pid)], check=False, capture_output=True, timeout=60)
        self.process.kill()
        self.process.wait(20)
        for pid in served.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def logins(self):
        return self.log.read_text().count("Accepted publickey")


@pytest.fixture
def sshd(tmp_path, monkeypatch):
    """A running sshd that `ssh bastion` leads to, for this process and its children."""
    found = Sshd(tmp_path / "ssh")
    programs = tmp_path / "programs"
    programs.mkdir()
    # A socket's path is short.
    runtime = Path(tempfile.mkdtemp(prefix="sc-"))
    # OpenSSH asks the password database, not $HOME, where a person's configuration is.
    wrapper = programs / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {found.directory}/ssh_config "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    found.start()
    yield found
    found.stop()
    for control in runtime.glob("safeconsole-*/*.ssh"):
        subprocess.run(
            ["ssh", "-S", str(control), "-O", "exit", "bastion"], check=False, capture_output=True, timeout=60
        )
    shutil.rmtree(runtime)


class Behind:
    """A cluster behind a bastion, whose servers prove themselves to whoever comes through it."""

    def __init__(self, cluster, sshd, directory):
        self.cluster, self.sshd, self.directory = cluster, sshd, directory
        bundle = directory / "authorities.pem"
        bundle.write_text("".join((node.datadir / "ca.pem").read_text() for node in cluster.nodes))
        self.tls = {"mode": "verify-ca", "ca": str(bundle)}

    def sit(self, **how):
        return seated(self.cluster, self.directory / "desk", ssh="bastion", justification=None, tls=self.tls, **how)


@pytest.fixture
def behind(mysql_cluster, sshd, tmp_path):
    return Behind(mysql_cluster, sshd, tmp_path)


def test_all_nodes_are_reached_over_one_login(behind):
    with behind.sit() as desk:
        assert desk.port() in {node.port for node in behind.cluster.replicas}
        assert {reading.unreachable for reading in desk.session.topology()} == {""}
    with behind.sit() as desk:
        assert desk.run("SELECT 1 AS x").table == [(1,)]
    assert behind.sshd.logins() == 1


def test_the_sockets_are_the_accounts_alone(behind):
    with behind.sit() as desk:
        desk.run("SELECT 1 AS x")
    (directory,) = Path(os.environ["XDG_RUNTIME_DIR"]).iterdir()
    sockets = [path for path in directory.iterdir() if path.is_socket()]
    assert len(sockets) == 1 + len(behind.cluster.nodes)
    assert {path.stat().st_mode & 0o077 for path in (directory, *sockets)} == {0}


def test_a_bastion_that_fell_is_told_and_opened_again(behind):
    with behind.sit() as desk:
        desk.run("SELECT 1 AS x")
        behind.sshd.stop()
        error = desk.error_of("SELECT 2 AS x")
        assert "ssh cannot open bastion" in " ".join((error.message, *error.evidence)), (error.message, error.evidence)
        behind.sshd.start()
        desk.seconds_until("SELECT 3 AS x")
    assert behind.sshd.logins() == 2


def test_a_bastion_that_lets_nobody_in_is_told_with_what_ssh_says(behind):
    (behind.sshd.directory / "authorized").write_text("")
    with behind.sit() as desk:
        error = desk.error_of("SELECT 1 AS x")
    assert "ssh cannot open bastion" in " ".join((error.message, *error.evidence))
    assert "Permission denied (publickey" in " ".join((error.message, *error.evidence))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_server_proves_its_name_through_the_bastion(private_cluster, sshd, tmp_path, flavour):
    certificate, key = make_certificate(tmp_path / "tls")
    options = (f"--ssl-cert={certificate}", f"--ssl-key={key}", f"--ssl-ca={certificate}")
    cluster = private_cluster(flavour, replicas=0, options=options)
    tls = {"ca": str(certificate)}
    at = f"{cluster.primary.port}"
    for number, (host, told) in enumerate((("localhost", ""), ("127.1", "did not prove its identity"))):
        nodes, directory = {"db": f"{host}:{at}"}, tmp_path / f"desk{number}"
        with seated(cluster, directory, ssh="bastion", justification=None, to="primary", tls=tls, nodes=nodes) as desk:
            if told:
                error = desk.error_of("SELECT 1 AS x")
                assert told in " ".join((error.message, *error.evidence))
            else:
                assert desk.run("SELECT 1 AS x").table == [(1,)]


def test_a_server_that_the_bastion_does_not_reach_is_told_as_that(behind):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with behind.sit(nodes={"db": f"127.0.0.1:{port}"}) as desk:
        error = desk.error_of("SELECT 1 AS x")
    assert f"bastion does not reach 127.0.0.1:{port}" in " ".join((error.message, *error.evidence))


@pytest.mark.parametrize("host", ["-oProxyCommand=id", "a b", "a\nb", ""])
def test_a_host_is_no_option_of_ssh(host):
    text = f"[clusters.shop]\nnodes = ['a:1']\nssh = {json.dumps(host)}\n"
    if not host:
        assert checked_table(text.encode(), Path("config.toml"))
        return
    with pytest.raises(ConfigurationError, match="not a host as ssh takes it"):
        checked_table(text.encode(), Path("config.toml"))
