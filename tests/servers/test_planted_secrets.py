"""Passwords planted wherever one can stand, a session on real servers, and a search for them in everything it left."""

import gzip
import json
import os
import secrets
import shlex
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

from safeconsole.config.policies import PolicyFiles
from safeconsole.approvals.requests import request_from_code
from tests.approvals.test_notices import Receiver
from tests.harness.desk import home_of
from tests.people.accounts import KEYRING, Account

TYPED = f"Planted-{uuid.uuid4().hex[:12]}"
"""In every statement; what the accounts log in with is as random as the demo makes it."""

LOGGING = """
import logging, os
if "safeconsole" in " ".join(__import__("sys").orig_argv):
    logging.basicConfig(filename=os.path.join(os.environ["HOME"], "debug.log"), level=1)
    logging.getLogger("planted").debug("this log was open")
"""
"""Runs at the start of every process of ours: whatever any library logs at any level ends up in a file."""

STATEMENTS = (
    f"CREATE USER planted IDENTIFIED BY '{TYPED}'",
    f"CREATE USER planted IDENTIFIED WITH mysql_native_password BY '{TYPED}'",
    f"ALTER USER planted IDENTIFIED BY '{TYPED}' REPLACE '{TYPED}'",
    f"SET PASSWORD FOR planted = '{TYPED}'",
    f"SET PASSWORD = PASSWORD('{TYPED}')",
    f"GRANT SELECT ON shop.* TO planted IDENTIFIED BY '{TYPED}'",
    f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='h', SOURCE_USER='u', SOURCE_PASSWORD='{TYPED}'",
    f"CHANGE MASTER TO MASTER_HOST='h', MASTER_USER='u', MASTER_PASSWORD='{TYPED}'",
    f"CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (USER 'u', PASSWORD '{TYPED}')",
    f"CREATE USR planted IDENTIFIED BY '{TYPED}'",
    f"CREATE USER planted IDENTIFIED BY '{TYPED}' NONSENSE",
    f"SELECT * FROM mysql.nosuch WHERE authentication_string = '{TYPED}'",
    f"SELECT AES_ENCRYPT('x', '{TYPED}')",
    f"SELECT /* password {TYPED} */ id FROM orders WHERE id = 1",
    f"SELECT nosuch FROM orders WHERE api_token = '{TYPED}'",
    f"INSERT INTO orders (nosuch, password) VALUES (1, '{TYPED}')",
    f"PREPARE p FROM 'CREATE USER planted IDENTIFIED BY \"{TYPED}\"'",
    f"START REPLICA USER = 'u' PASSWORD = '{TYPED}'",
    f"SET @password = '{TYPED}'",
    f"CREATE USER planted IDENTIFED BY '{TYPED}'",
    f"CRAETE USER planted IDENTIFED BY '{TYPED}'",
    f"CREATE USER planted IDENTIFIED BY `{TYPED}`",
    f"CREATE USER planted IDENTIFED BY {TYPED}",
    f"SET PASWORD FOR planted = '{TYPED}'",
    f"SELECT SHA2('{TYPED}', 256)",
    f"SELECT MD5('{TYPED}')",
    f"SET @p = '{TYPED}'",
    f"SELECT id FROM orders WHERE pin IN ('{TYPED}')",
    f"SELECT id FROM orders WHERE status = MD5('{TYPED}') AND nosuch = 1",
    f"CREATE USER planted IDENTIFIED BY '{TYPED}",
)
QUOTED = tuple(
    text for text in STATEMENTS if text.startswith(("CREATE USR", "CRAETE", "GRANT", "INSERT")) or "IDENTIFED" in text
)
"""Those that a server quotes in its error; the console's terminal would show what was typed anyway."""

JUSTIFICATION = ("--reason", "r", "--ticket", "T", "--confirm", "shop")


BASELINE = Path(PolicyFiles().load("baseline").source).read_text(encoding="utf-8")


def without_brakes(policy):
    """A policy's text without the rules that ask whoever is elevated once more: here statements are typed one by one."""
    head, *rules = policy.split("\n  - id: ")
    return "\n  - id: ".join([head, *(rule for rule in rules if "brake: true" not in rule)])


class Watch:
    """Reads the command lines of all processes, and the environments of all but consoles, while something runs.

    What another worker of the tests has started is not read: it may hold the same passwords for its own reasons.
    """

    WORKER = b"PYTEST_XDIST_WORKER="

    def __init__(self):
        self.seen, self._over = set(), threading.Event()
        self.worker = os.environ.get("PYTEST_XDIST_WORKER", "").encode() + b"\0"
        self._thread = threading.Thread(target=self._read, daemon=True)

    def _read(self):
        while not self._over.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    line = (process / "cmdline").read_bytes()
                    # What a console was given in its environment is there; nothing that it starts may have it.
                    console = b"\0-m\0safeconsole" in line or line == Path("/proc/self/cmdline").read_bytes()
                    environment = (process / "environ").read_bytes()
                    if self.WORKER in environment and self.WORKER + self.worker not in environment:
                        continue
                    self.seen.add(line if console else line + environment)
                except OSError:
                    continue
            time.sleep(0.05)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


class Desk:
    """Ann's account, with the cluster in her configuration."""

    def __init__(self, place, cluster, source, webhook):
        place.chmod(0o755)
        (place / "file_keyring.py").write_text(KEYRING)
        (place / "sitecustomize.py").write_text(LOGGING)
        self.ann, self.audit, self.cluster = Account(place, "ann"), place / "audit", cluster
        # Of their own: a session here changes its account's password, and other workers' tests log in meanwhile.
        self.like = {f"planted_{name}_{secrets.token_hex(3)}": f"console_{name}" for name in ("read", "elevated")}
        self.passwords = {name: secrets.token_urlsafe(18) for name in self.like}
        self.make_accounts()
        self.webhook, self.source = webhook, source
        self.policy = place / "no-brakes.yaml"
        self.policy.write_text(without_brakes(BASELINE))
        for program, does in (("editor", 'echo > "$1"'), ("pager", "exec cat")):
            script = self.ann.home / f"{program}.sh"
            script.write_text(f"#!/bin/sh\nenv > {self.ann.home}/{program}.env\n{does}\n")
            script.chmod(0o755)
        self.ann.environ |= {"VISUAL": f"{self.ann.home}/editor.sh", "PAGER": f"{self.ann.home}/pager.sh"}
        self.configure(self.passwords)

    def configure(self, passwords):
        source = self.source
        for account, password in passwords.items():
            if source == "env":
                self.ann.environ[f"SAFECONSOLE_PASSWORD_SHOP_{account.upper()}"] = password
            elif source == "keyring":
                kept = subprocess.run(
                    self.ann.command("credentials", "set", "shop", account), input=f"{password}\n", text=True,
                    env=self.ann.environ, capture_output=True, check=True, cwd="/",
                )  # fmt: skip
                assert password not in kept.stdout + kept.stderr
            else:
                (self.ann.home / account).write_text(f"{password}\n")
        nodes = {f"{node.host}:{node.port}": node.name for node in self.cluster.nodes}
        self.ann.write(
            f'[clusters.shop]\npolicy = "{self.policy}"\nnodes = {json.dumps(list(nodes))}\nschema = "shop"\n'
            'environment = "demo"\n'
            f'demo = "{home_of(self.cluster)}"\n'
            "[clusters.shop.names]\n" + "".join(f'"{address}" = "{name}"\n' for address, name in nodes.items()) +
            '[clusters.shop.accounts]\n'
            + "".join(f'{like.removeprefix("console_")} = "{name}"\n' for name, like in self.like.items()) +
            f'[clusters.shop.secrets]\nsources = ["{source}"]\n'
            + (f'command = ["cat", "{self.ann.home}/{{account}}"]\n' if source == "command" else "")
            + '[clusters.shop.tls]\nmode = "disabled"\n'
            f'[audit]\ndirectory = "{self.audit}"\n[notices]\nwebhook = "{self.webhook}"\n'
        )  # fmt: skip

    def make_accounts(self):
        with self.cluster.dba_connect(self.cluster.primary) as dba, dba.cursor() as cursor:
            for account, like in self.like.items():
                cursor.execute("CREATE USER %s@'%%' IDENTIFIED BY %s", (account, self.passwords[account]))
                cursor.execute(f"SHOW GRANTS FOR '{like}'@'%'")
                for (granted,) in cursor.fetchall():
                    cursor.execute(granted.partition(" IDENTIFIED BY")[0].replace(like, account))
        self.cluster.wait_caught_up()

    def restore(self):
        """Give the accounts their passwords back: a session may have changed its own."""
        with self.cluster.dba_connect(self.cluster.primary) as dba, dba.cursor() as cursor:
            for account, password in self.passwords.items():
                cursor.execute("ALTER USER %s@'%%' IDENTIFIED BY %s", (account, password))

    def drop_accounts(self):
        with self.cluster.dba_connect(self.cluster.primary) as dba, dba.cursor() as cursor:
            for account in self.like:
                cursor.execute("DROP USER %s@'%%'", (account,))

    def left(self):
        """Everything that lies in the journals and the home directory after a session, by file, but what holds keys."""
        kept = {self.ann.home / name for name in ("keyring.json", *self.passwords)}
        files = [path for root in (self.audit, self.ann.home) for path in root.rglob("*") if path.is_file()]
        return {
            path: gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            for path in files
            if path not in kept
        }


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.hang.set()
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(params=[("mysql", "env"), ("mariadb", "keyring"), ("mysql", "command")], ids="-".join)
def desk(request, tmp_path, shared_clusters, receiver):
    flavour, source = request.param
    seated = Desk(tmp_path, shared_clusters(flavour), source, receiver.url)
    yield seated
    seated.drop_accounts()


def holding(found, *secrets):
    return [f"{path}: {secret}" for path, data in found.items() for secret in secrets if secret.encode() in data]


def test_nothing_that_a_session_leaves_holds_a_password(desk, receiver, tmp_path):
    script = tmp_path / "script.sql"
    with Watch() as watch:
        console = desk.ann.start("sql", "shop", screen=True)
        console.until("shop")
        console.type("\\elevate --ticket T-1 looking for leaks")
        console.until("type the name of the cluster")
        console.type("shop")
        console.until("elevated on shop")
        for number, statement in enumerate(STATEMENTS[:-1]):
            console.type(f"{statement};")
            console.type(f"SELECT {number + 7000} AS marker;")
            console.until(rf"(?s)\b{number + 7000}\b.*\b{number + 7000}\b.*1 row")
        console.type(f"\\export {desk.ann.home}/rows.csv SELECT /* password {TYPED} */ id FROM orders WHERE id < 4")
        console.until(r"3 rows")
        console.type("\\edit")
        console.type("\\pager on")
        console.until("rows are handed to")
        console.type("SELECT 7900 AS marker;")
        console.until(r"(?s)\b7900\b.*\b7900\b")
        console.type("\\quit")
        assert console.end()[0] == 0
        desk.restore()
        results = []
        for statement in QUOTED:
            # In a file: what stands in an argument is in the process list before we can read it.
            script.write_text(statement)
            results.append(desk.ann.run("sql", "shop", "-f", str(script), *JUSTIFICATION))
    script.unlink()
    passwords = tuple(desk.passwords.values())
    left = desk.left()
    assert any(path.suffix == ".history" for path in left)
    names = {path.name for path in left}
    assert {"rows.csv", "editor.env", "pager.env", "debug.log"} <= names
    assert b"this log was open" in left[desk.ann.home / "debug.log"]
    assert sum(data.count(b'"type":"intent"') for data in left.values()) > 10
    assert holding(left, TYPED, *passwords) == []
    shown = "".join(result.stdout + result.stderr for result in results)
    # They came as far as the server, which quotes what it does not understand.
    assert "(1064)" in shown
    assert holding({"one-shots": shown.encode()}, TYPED, *passwords) == []
    # The terminal echoes what is typed, and nothing else of it.
    assert holding({"terminal": console.messages.encode()}, *passwords) == []
    assert any(b"safeconsole" in line for line in watch.seen)
    assert holding({line: line for line in watch.seen}, TYPED, *passwords) == []
    told = json.dumps(receiver.got)
    assert "looking for leaks" in told
    assert holding({"notices": told.encode()}, TYPED, *passwords) == []


def test_what_a_second_person_is_handed_holds_no_password(desk, tmp_path):
    policy = tmp_path / "two.yaml"
    policy.write_text(without_brakes(BASELINE).replace("elevation:\n", "elevation:\n  two_persons: [admin]\n"))
    public = desk.ann.new_key(str(tmp_path / "key.pem"))
    own = desk.ann.new_key(str(tmp_path / "ann.pem"))
    desk.ann.write(
        desk.ann.config.read_text().replace(f'policy = "{desk.policy}"', f'policy = "{policy}"')
        + f'[approvals]\nkey = "{tmp_path / "ann.pem"}"\napprovers = {{ben = "{public}", ann = "{own}"}}\n'
    )
    script = tmp_path / "script.sql"
    script.write_text(STATEMENTS[0])
    console = desk.ann.start("sql", "shop", "-f", str(script), *JUSTIFICATION).vouched()
    request = request_from_code(console.code())
    console.until("paste their answer")
    console.type("")
    assert console.end()[0] == 3
    script.unlink()
    assert "CREATE USER" in request.sql
    everything = desk.left() | {"request": repr(request).encode(), "told": console.messages.encode()}
    assert holding(everything, TYPED, *desk.passwords.values()) == []


def test_a_wrong_password_is_in_no_message(desk):
    wrong = "Wrong-" + TYPED
    desk.configure(dict.fromkeys(desk.passwords, wrong))
    with Watch() as watch:
        told = desk.ann.run("sql", "shop", "-e", "SELECT 1")
        seen = desk.ann.run("topology", "shop")
    assert told.returncode != 0
    assert "password" in told.stderr + seen.stdout
    everything = desk.left() | {"told": (told.stdout + told.stderr + seen.stdout + seen.stderr).encode()}
    assert holding(everything | {line: line for line in watch.seen}, wrong) == []


BREAKING = """
import sys
from safeconsole import app
from safeconsole.mysql import {module} as broken

def bang(*given, **named):
    local = (given, named)
    raise ZeroDivisionError("an error of our own")

setattr(broken, {name!r}, bang)
sys.exit(app.run(sys.argv[1:], __import__("os").environ))
"""


@pytest.mark.parametrize(("module", "name"), [("node", "login_for"), ("node", "open_line"), ("opening", "dial")])
def test_a_traceback_of_an_error_of_our_own_shows_no_password(desk, module, name, tmp_path):
    runner = tmp_path / "runner.py"
    runner.write_text(BREAKING.format(module=module, name=name))
    told = subprocess.run(
        [sys.executable, str(runner), *shlex.split(f"--config {desk.ann.config} sql shop -e 'SELECT 1'")],
        capture_output=True, text=True, env=desk.ann.environ, cwd="/", check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "ZeroDivisionError: an error of our own" in told.stderr
    everything = desk.left() | {"told": (told.stdout + told.stderr).encode()}
    assert holding(everything, *desk.passwords.values()) == []
