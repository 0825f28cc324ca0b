"""Servers behind a bastion: a real sshd, the system's OpenSSH, real servers."""

import json
import os
import socket
from pathlib import Path

import pytest

from safeconsole.config.loading import checked_table
from safeconsole.demo.binaries import FLAVOURS
from safeconsole.errors import ConfigurationError
from tests.harness.gateway import make_certificate
from tests.harness.desk import seated
from tests.harness.sshd import WHY_NONE, running_sshd

pytestmark = pytest.mark.skipif(bool(WHY_NONE), reason=WHY_NONE)


@pytest.fixture
def sshd(tmp_path, monkeypatch):
    """A running sshd that `ssh bastion` leads to, for this process and its children."""
    with running_sshd(tmp_path) as (found, environ):
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        yield found


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
