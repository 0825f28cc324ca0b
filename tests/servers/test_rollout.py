"""A team from its configuration to a reviewed change: a bastion, a database of journals, a provider, a channel, and people."""

import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.approvals.test_notices import Receiver
from tests.harness.postgres import own_postgres, postgres_binaries
from tests.harness.sshd import WHY_NONE, running_sshd
from tests.harness.team import ROLES, Web, provider
from tests.people.accounts import ROOT, Account, python_for_others, why_no_names, why_no_real_accounts

pytestmark = [
    pytest.mark.skipif(bool(WHY_NONE), reason=WHY_NONE),
    pytest.mark.skipif(postgres_binaries() is None, reason="no PostgreSQL here (apt-get install postgresql)"),
]

WAIT_SECONDS = 60
POLICY = """
extends: baseline
elevation:
  two_persons: [write, ddl]
rules:
  - id: invoices-stay
    when: "'shop.invoices' in stmt.tables && 'write' in stmt.effects"
    then: deny
    message: Invoices are changed by billing alone.
"""
CHANGE = "UPDATE rollout SET status = 'paid' WHERE id = 7"
SHOWN = re.compile(r'name="request" value="([^"]+)"')
HEAD = re.compile(r'name="head" value="([^"]+)"')


def until(what):
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


@contextmanager
def engineer(place):
    """Yield Ann: an account of this computer where a test may become one, else one that sudo names."""
    real = not why_no_real_accounts()
    if not real and (why := why_no_names()):
        pytest.skip(why)
    nobody = pwd.getpwnam("nobody")
    python = python_for_others() if real else sys.executable
    yield Account(place, "ann", python=python, uid=nobody.pw_uid if real else None, gid=nobody.pw_gid)


def repository(cluster, place, *, central, page, key):
    """Write what the team keeps under version control: clusters, policies, authorities and keys."""
    made = place / "repository"
    (made / "policies").mkdir(parents=True)
    (made / "policies" / "shop.yaml").write_text(POLICY)
    (made / "authorities.pem").write_text("".join((node.datadir / "ca.pem").read_text() for node in cluster.nodes))
    nodes = json.dumps([f"{node.host}:{node.port}" for node in cluster.nodes])
    (made / "config.toml").write_text(f"""
[clusters.shop]
nodes = {nodes}
environment = "production"
schema = "shop"
policy = "policies/shop.yaml"
discovery = "off"
ssh = "bastion"
accounts = {{read = "console_read", elevated = "console_elevated", diagnose = "console_diagnose"}}
secrets = {{sources = ["command"], command = ["cat", "{place}/secrets/{{account}}"]}}
tls = {{mode = "verify-ca", ca = "authorities.pem"}}
[audit.sinks.central]
kind = "database"
address = "{central}"
[approvals]
database = "{central}"
wait_seconds = 60
[approvals.servers]
"{page}" = "{key}"
""")
    return made


@contextmanager
def served(lead, place, *, central, port, issuer, hook, key):
    """Run `safeconsole serve` as the team does."""
    groups = "\n".join(f"{role} = {json.dumps(groups)}" for role, groups in ROLES.items())
    config = place / "serve.toml"
    config.write_text(f"""
[serve]
url = "http://localhost:{port}/"
database = "{central}"
key = "{key}"
[serve.sign_in]
issuer = "{issuer}"
client_id = "safeconsole"
client_secret_variable = "SERVE_CLIENT_SECRET"
[serve.roles]
{groups}
[serve.hooks.oncall]
kind = "slack"
address = "{hook}"
""")
    config.chmod(0o600)
    command = [sys.executable, "-m", "safeconsole", "--config", str(config), "serve", "--listen", f"127.0.0.1:{port}"]
    environ = {**lead, "SERVE_CLIENT_SECRET": "s"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ, cwd=ROOT)
    try:
        listening = json.loads(process.stdout.readline())["listen"]
        yield SimpleNamespace(server_address=("127.0.0.1", int(listening.rpartition(":")[2])))
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)
        process.stdout.close()


@pytest.fixture
def place():
    made = Path(tempfile.mkdtemp(prefix="safeconsole-rollout-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def changed(mysql_cluster):
    """A cluster with a table of this play alone."""
    with mysql_cluster.dba_connect(mysql_cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("CREATE TABLE shop.rollout (id INT PRIMARY KEY, status VARCHAR(12) NOT NULL)")
        cursor.execute("INSERT INTO shop.rollout VALUES (7, 'open')")
    mysql_cluster.wait_caught_up()
    yield mysql_cluster
    with mysql_cluster.dba_connect(mysql_cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("DROP TABLE shop.rollout")


@pytest.fixture
def team(changed, place, receiver):
    """Everything that a team lead sets up, running; Ann has nothing yet but her account and her key at the bastion."""
    lead = {"HOME": str(place / "lead"), "PATH": os.environ["PATH"], "TERM": "dumb"}
    (place / "lead").mkdir()

    def led(*words):
        command = [sys.executable, "-m", "safeconsole", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, env=lead, cwd=ROOT, timeout=WAIT_SECONDS)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with ExitStack() as up:
        central, *_ = up.enter_context(own_postgres(postgres_binaries()))
        issuer = up.enter_context(provider())
        sshd, ways = up.enter_context(running_sshd(place))
        ann = up.enter_context(engineer(place))
        ann.environ |= ways
        (place / "secrets").mkdir()
        for account, password in changed.accounts.items():
            (place / "secrets" / account).write_text(f"{password}\n")
        if ann.uid is not None:
            sshd.directory.chmod(0o755)
            for mine in (sshd.directory / "person", Path(ways["XDG_RUNTIME_DIR"])):
                os.chown(mine, ann.uid, ann.gid)
        key, port = place / "approvals.pem", free_port()
        answers = led("approve", "--new-key", key).strip()
        page = f"http://localhost:{port}/"
        public = re.search(r'"([0-9a-f]{64})"', led("audit", "new-key", place / "team.key"))[1]
        files = repository(changed, place, central=central, page=page, key=answers)
        bundle = place / "safeconsole-1.bundle"
        led("config", "bundle", files, "--version", 1, "--sign", place / "team.key", "--output", bundle)
        bundle.chmod(0o644)
        server = up.enter_context(
            served(lead, place, central=central, port=port, issuer=issuer, hook=receiver.url, key=key)
        )
        yield SimpleNamespace(
            ann=ann,
            bundle=bundle,
            public=public,
            sshd=sshd,
            browser=lambda: Web(server, page),
            page=page,
            told=receiver,
        )


def status_of(cluster):
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute("SELECT status FROM shop.rollout WHERE id = 7")
        return cursor.fetchone()[0]


SESSION = re.compile(r'href="sessions/([^"]+)"')


def changed_in(browser, queue):
    """Return the session that waits for a review because of the change, and its story; None before it is there."""
    for session in SESSION.findall(browser.get(queue).text):
        story = browser.get(f"/sessions/{session}").text
        if "OPS-7" in story and "closed" in story:
            return session, story
    return None


def test_a_team_rolls_it_out_and_changes_a_row_as_it_should(team, changed):
    ann = team.ann
    before = status_of(changed)

    # Ann pulls what the team signed, and sees what she got.
    pulled = ann.run("config", "pull", str(team.bundle), "--key", team.public)
    assert pulled.returncode == 0, pulled.stderr
    assert "shop" in ann.run("config", "show").stdout
    assert ann.run("config", "check").returncode == 0

    # A read goes to a replica through the bastion, over one login.
    read = ann.run("sql", "shop", "-e", "SELECT count(*) FROM rollout", "--format", "csv")
    assert read.returncode == 0, read.stderr
    assert read.stdout.split()[1] == "1"
    assert "replica" in read.stderr
    assert team.sshd.logins() == 1

    # What nobody may do is refused with the team's own words.
    denied = ann.run("sql", "shop", "-e", "DELETE FROM invoices WHERE id = 1")
    assert denied.returncode == 4
    assert "Invoices are changed by billing alone" in denied.stderr

    # A change waits for somebody else; the channel is told, without literals, with a link.
    console = ann.start(
        "sql", "shop", "-e", CHANGE, "--reason", "stuck order", "--ticket", "OPS-7", "--confirm", "shop"
    )
    console.vouched()
    until(lambda: team.told.got)
    told = json.dumps(team.told.got)
    assert "paid" not in told
    link = re.search(rf"{re.escape(team.page)}requests/[\w.-]+", told)[0]
    assert status_of(changed) == before

    # Ben, an approver, signs in, sees the evidence, and says yes; a reader may not.
    target = urllib.parse.urlsplit(link).path
    dan, ben = team.browser(), team.browser()
    dan.sign_in("dan")
    answer = {"answer": "yes", "reason": "looked at it", "cluster": "shop"}
    assert dan.post(target, {"csrf": dan.csrf("/"), **answer}).status == 403
    ben.sign_in("ben")
    shown = ben.get(target).text
    for part in ("stuck order", "OPS-7", "status = &#x27;paid&#x27;", ann.name, "shop (production)"):
        assert part in shown, part
    seen = {"csrf": ben.csrf("/approvals"), "request": SHOWN.search(shown)[1]}
    assert "Approved" in ben.post(target, {**seen, **answer}).text
    code, _ = console.end()
    assert code == 0, console.messages
    assert status_of(changed) == "paid"

    # Cleo reviews the session where the team's journals meet.
    cleo = team.browser()
    cleo.sign_in("cleo")
    session, story = until(lambda: changed_in(cleo, f"/?person={ann.name}&cluster=shop"))
    for part in ("stuck order", "OPS-7", "ben", "looked at it", "1 row"):
        assert part in story, part
    given = {"csrf": cleo.csrf(), "head": HEAD.search(story)[1], "act": "approve", "note": "as it should"}
    reviewed = cleo.post(f"/sessions/{session}/review", given)
    assert reviewed.status in {200, 303}
    assert session not in SESSION.findall(cleo.get("/").text)

    # What Ann's computer holds is whole, and nobody's password is in it.
    verified = ann.run("audit", "verify")
    assert verified.returncode == 0, verified.stdout
    journals = "".join(path.read_text() for path in ann.home.rglob("*.jsonl"))
    assert not [password for password in changed.accounts.values() if password in journals]
