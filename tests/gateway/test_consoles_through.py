"""Our own consoles where a node's address is a gateway's: it is told who judges there, and what to do instead."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.desk import _configuration, _policy
from tests.harness.gateway import environment


@pytest.fixture
def program(gateway, tmp_path):
    """A function that runs the program with a cluster whose only node is a gateway, by TCP or by its socket."""
    policy = _policy(tmp_path, {}, {}, ())

    def run(*words, address=f"{gateway.host}:{gateway.port}"):
        settings = {"accounts": {"read": "anna", "elevated": "anna"}, "environment": "demo"}
        config = _configuration(gateway.cluster, tmp_path, {"node": address}, policy, settings)
        (tmp_path / "secrets" / "anna").write_text(f"{gateway.token('anna')}\n")
        return subprocess.run(
            [sys.executable, "-m", "safeconsole", "--config", str(config), *words],
            capture_output=True, text=True, env=environment(tmp_path), cwd=Path(__file__).parents[2], timeout=60,
        )  # fmt: skip

    return run


TOLD = "is a safeconsole gateway, which judges, limits and records what is sent to its cluster shop by itself"
NEXT = "elevate there by CALL safeconsole.elevate('reason'); or name the servers behind it in nodes"


def test_a_console_says_who_judges_there_and_what_to_do(gateway, program):
    before = len(gateway.records("intent", "anna"))
    said = program("sql", "shop", "-e", "SELECT 7070707")
    assert said.returncode == 8
    assert TOLD in said.stderr
    assert NEXT in said.stderr
    assert said.stdout == ""
    # Nothing of the person's was run on the way, and nothing is left behind.
    gateway.wait_until_left("anna")
    assert not [each for each in gateway.records("intent", "anna")[before:] if "7070707" in str(each)]
    said = program("doctor", "shop")
    assert TOLD in said.stdout
    assert f"fix: connect a MySQL client to {gateway.host}:{gateway.port}, with a token as password" in said.stdout


def test_a_gateway_stands_before_no_gateway_and_not_before_itself(gateway, program, tmp_path):
    place = str(tmp_path / "g.sock")
    for node in (f"{gateway.host}:{gateway.port}", gateway.socket, place):
        said = program("gateway", "shop", "--socket", place, address=node)
        assert said.returncode == 2, said.stderr
        assert "is a safeconsole gateway, and none stands before another, or itself" in said.stderr
        assert "name the servers behind it in clusters.shop.nodes" in said.stderr
        assert not Path(place).exists()
