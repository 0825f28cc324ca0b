"""Accounts that a secret store makes for a while, as Vault's database engine does, on real servers."""

import json
import os
import pwd
import sys
import time
from contextlib import ExitStack

import pytest

from safeconsole.errors import StoppedError
from tests.harness.desk import seated

LEASE_SECONDS = 3

# It answers as `vault read -format=json database/creds/ROLE` does, and drops at each call what has ended.
VAULT = """
import fcntl, json, random, sys, time
from pathlib import Path
from safeconsole.demo.servers import connect_root

role, place = sys.argv[1].rsplit("/", 1)[1], Path(sys.argv[2])
with open(place.with_suffix(".lock"), "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    told = json.loads(place.read_text())
    with connect_root(Path(told["socket"])) as dba, dba.cursor() as cursor:
        for name, ends in list(told["made"].items()):
            if ends <= time.time():
                cursor.execute(f"DROP USER '{name}'@'%'")
                del told["made"][name]
        name, password = f"v-{role[8:12]}-{random.getrandbits(40):x}", f"{random.getrandbits(80):x}"
        cursor.execute(f"CREATE USER '{name}'@'%' IDENTIFIED BY '{password}'")
        cursor.execute(f"SHOW GRANTS FOR '{role}'@'%'")
        for (grant,) in cursor.fetchall():
            cursor.execute(f"{grant.split(' TO ')[0]} TO '{name}'@'%'")
    # A busy machine must not make a statement later than the end of a lease that is this short.
    told["made"][name] = time.time() + 5 * told["lease"]
    place.write_text(json.dumps(told))
made = {"username": name, "password": password}
print(json.dumps({"lease_duration": told["lease"], "renewable": True, "data": made}))
"""


@pytest.fixture
def sit(tmp_path, cluster):
    """A function that sits down at a desk whose accounts live for some seconds."""
    program, place = tmp_path / "vault.py", tmp_path / "vault.json"
    program.write_text(VAULT)
    place.write_text(json.dumps({"socket": str(cluster.primary.socket), "lease": LEASE_SECONDS, "made": {}}))
    secrets = {
        "sources": ["command"],
        "command": [sys.executable, str(program), "database/creds/{account}", str(place)],
        "command_prints": "json",
    }
    with ExitStack() as leaving:

        def sit(**how):
            return leaving.enter_context(seated(cluster, tmp_path / "desk", secrets=secrets, to="primary", **how))

        yield sit
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        for name in json.loads(place.read_text())["made"]:
            cursor.execute(f"DROP USER '{name}'@'%'")


@pytest.fixture
def desk(sit):
    return sit()


def who(desk):
    return desk.run("SELECT CURRENT_USER() AS who").table[0][0].partition("@")[0]


def who_at_last(desk, before):
    """Who the server says asks, once that is another account than before."""
    until = time.monotonic() + 10 * LEASE_SECONDS
    while (now := who(desk)) == before:
        assert time.monotonic() < until
        time.sleep(0.2)
    return now


def test_an_account_is_replaced_before_its_lease_ends(desk):
    first = who(desk)
    assert first.startswith("v-read-")
    assert who_at_last(desk, first).startswith("v-read-")


def test_a_read_of_a_later_account_is_stopped_at_its_time(desk):
    who_at_last(desk, who(desk))
    desk.session.tighten("run_seconds", 1)
    error = desk.error_of(
        "SELECT SUM(a.id + b.id + c.id + d.id + e.id) FROM orders a, orders b, orders c, orders d, orders e"
    )
    assert isinstance(error, StoppedError), error.message


def test_a_transaction_goes_on_with_its_account(sit):
    desk = sit(justification=None)
    desk.run("BEGIN")
    first = who(desk)
    time.sleep(LEASE_SECONDS)
    assert who(desk) == first
    desk.run("ROLLBACK")
    assert who_at_last(desk, first) != first


def test_an_elevated_window_outlives_the_lease_of_its_account(desk):
    desk.run("UPDATE orders SET status = status WHERE id = 1")
    time.sleep(LEASE_SECONDS)
    desk.run("UPDATE orders SET status = status WHERE id = 1")
    assert [record["outcome"] for record in desk.records("outcome")][-1] == "done"


def test_each_person_has_an_account_of_their_own(cluster, tmp_path):
    name = f"{pwd.getpwuid(os.geteuid()).pw_name}_read"
    secrets = {"sources": ["command"], "command": ["cat", f"{tmp_path / 'desk' / 'secrets'}/console_read"]}
    password = cluster.accounts["console_read"]
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SHOW GRANTS FOR 'console_read'@'%'")
        granted = [grant.split(" TO ")[0] for (grant,) in cursor.fetchall()]
        cursor.execute(f"CREATE USER '{name}'@'%' IDENTIFIED BY '{password}'")
        for grant in granted:
            cursor.execute(f"{grant} TO '{name}'@'%'")
    cluster.wait_caught_up()
    accounts = {"read": "{person}_read", "elevated": "{person}_elevated"}
    try:
        with seated(cluster, tmp_path / "desk", accounts=accounts, secrets=secrets, justification=None) as desk:
            assert who(desk) == name
    finally:
        with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
            cursor.execute(f"DROP USER '{name}'@'%'")
