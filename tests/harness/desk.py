"""A person at the console on a real cluster: the program as `app` builds it, and the servers' own word of what came."""

import json
import time
from contextlib import contextmanager
from pathlib import Path

from safeconsole.errors import SafeConsoleError
from safeconsole.session.context import Justification
from safeconsole.cli.application import Door
from safeconsole.app import Program
from safeconsole.demo.stage import configured

POLICIES = Path(__file__).parents[2] / "policies"
JUSTIFICATION = Justification(reason="incident 7", ticket="OPS-7")


class Answering:
    """Says yes to everything, and does first what happens between the prompt and Enter."""

    def __init__(self):
        self.before_enter = lambda: None
        self.asked = 0
        self.seen = []
        """What an elevation was asked with, oldest first."""

    def confirm(self, considered):
        self.asked += 1
        self.before_enter()
        return True

    def elevate(self, request, considered):
        self.asked += 1
        self.seen.append(considered)
        self.before_enter()
        return True

    def show_approval(self, code, request):
        """Nobody else is there."""

    def paste_approval(self, code, request):
        return ""

    def skip_approval(self, request, skipped):
        return False


class Shown:
    """What reached the screen."""

    def __init__(self):
        self.table, self.ended, self.where, self.notes, self.waited, self.warnings = [], None, "", (), [], ()

    def run(self, session, statement, **how):
        """Take a statement down the road and keep its result."""
        result = session.execute(statement, progress=self.progress, **how)
        self.where, self.notes = result.considered.node, result.considered.notes
        with result:
            for batch in result:
                self.table += batch
        self.ended, self.warnings = result.ended, result.warnings
        return self

    def progress(self, what):
        if isinstance(what, str):
            self.waited.append(what)


class Desk:
    """One session; `run` returns what was shown."""

    def __init__(self, session, answering, journals, program=None):
        self.session, self.answering, self.journals, self.program = session, answering, journals, program
        self.waited_seconds = 0.0

    def run(self, text):
        shown = Shown()
        for statement in self.session.split(text):
            shown.run(self.session, statement)
        return shown

    def error_of(self, text):
        """What the person is told instead of a result; `waited_seconds` says how long they waited for it."""
        started = time.monotonic()
        try:
            shown = self.run(text)
        except SafeConsoleError as error:
            self.waited_seconds = time.monotonic() - started
            return error
        raise AssertionError(f"it ran on {shown.where}: {shown.table}")

    def port(self):
        """The server that answers a plain read now."""
        return self.run("SELECT @@port").table[0][0]

    def seconds_until(self, text, *, at_most=30.0):
        """Ask again and again, as a person would; seconds until it ran, and the errors on the way."""
        started, errors = time.monotonic(), []
        while True:
            try:
                shown = self.run(text)
            except SafeConsoleError as error:
                errors.append(error)
                assert time.monotonic() - started < at_most, error.message
                time.sleep(0.1)
            else:
                return time.monotonic() - started, errors, shown

    def records(self, kind):
        """The journal's records of one kind, of all sessions at this desk."""
        sessions = sorted((self.journals / "sessions").glob("*.jsonl"))
        records = [json.loads(line)["record"] for path in sessions for line in path.read_text().splitlines()]
        return [record for record in records if record["type"] == kind]


@contextmanager
def seated(
    cluster,
    directory,
    *,
    nodes=None,
    gates=None,
    transactions=None,
    sensors=(),
    heavy_at_once=2,
    justification=JUSTIFICATION,
    to="",
    **cluster_settings,
):
    """
    Sit down at a console on a cluster.

    Args:
        nodes: node name to address, where it is not the cluster's own.
        gates: what the policy asks of a node, over the shipped baseline.
        transactions: how long they may stand idle, over the shipped baseline.
        sensors: what every statement needs, over the shipped baseline.
        heavy_at_once: how many heavy statements a node runs, over the shipped baseline.
        cluster_settings: of the cluster; `diagnoses` is False for one without an account for it, `demo` where the
            cluster does not say where it lives, `accounts`, `secrets` and `tls` where they are others than the demo's.
    """
    directory.mkdir(exist_ok=True)
    # Tests have no terminal, and the baseline lets nobody without one elevate elsewhere than on a demo.
    demo = {"environment": "demo", "demo": cluster_settings.get("demo") or str(home_of(cluster))}
    at = nodes or {node.name: f"{node.host}:{node.port}" for node in cluster.nodes}
    program = Program({"HOME": str(directory), "USER": "ada", "PATH": "/usr/bin:/bin"})
    policy = _policy(directory, gates or {}, transactions or {}, sensors, heavy_at_once)
    program.configure(str(_configuration(cluster, directory, at, policy, {**demo, **cluster_settings})))
    answering = Answering()
    door = Door(
        person=program.person, cluster="shop", face="one-shot", confirmer=answering, justification=justification, to=to
    )
    with program.open(door) as session:
        yield Desk(session.session, answering, directory / "audit", program)


@contextmanager
def joined(desk, *, to=""):
    """Sit down at another console of the same process as a desk."""
    answering, program = Answering(), desk.program
    door = Door(
        person=program.person,
        cluster="shop",
        face="one-shot",
        confirmer=answering,
        justification=JUSTIFICATION,
        to=to,
    )
    with program.open(door) as session:
        yield Desk(session.session, answering, desk.journals, program)


def _policy(directory, gates, transactions, sensors, heavy_at_once=2):
    text = (POLICIES / "baseline.yaml").read_text().replace("at_once: 2", f"at_once: {heavy_at_once}")
    for name, value in gates.items():
        if f"\n  {name}:" not in text:
            text = text.replace("gates:\n", f"gates:\n  {name}: 0\n", 1)
        lines = text.splitlines()
        (place,) = [number for number, line in enumerate(lines) if line.startswith(f"  {name}:")]
        lines[place] = f"  {name}: {value}"
        text = "\n".join(lines) + "\n"
    if transactions:
        text += f"\ntransactions: {json.dumps(transactions)}\n"
    if sensors:
        text += f"\nsensors: {json.dumps(sensors)}\n"
    path = directory / "policy.yaml"
    path.write_text(text)
    return path


def _configuration(cluster, directory, nodes, policy, settings):
    accounts = {"read": "console_read", "elevated": "console_elevated", "diagnose": "console_diagnose"}
    if not settings.pop("diagnoses", True):
        del accounts["diagnose"]
    accounts = settings.pop("accounts", accounts)
    source = {"sources": ["command"], "command": ["cat", f"{directory / 'secrets'}/{{account}}"]}
    source = settings.pop("secrets", source)
    tls = settings.pop("tls", {"mode": "disabled"})
    names = {address: name for name, address in nodes.items()}
    secrets = directory / "secrets"
    secrets.mkdir(mode=0o700, exist_ok=True)
    for account, password in cluster.accounts.items():
        (secrets / account).write_text(f"{password}\n")
    lines = [
        "[clusters.shop]",
        f"nodes = {json.dumps(list(names))}",
        'schema = "shop"',
        f"policy = {json.dumps(str(policy))}",
        *(f"{key} = {json.dumps(value)}" for key, value in settings.items() if not isinstance(value, dict)),
        *_tables(settings),
        "[clusters.shop.names]",
        *(f"{json.dumps(address)} = {json.dumps(name)}" for address, name in names.items()),
        "[clusters.shop.accounts]",
        *(f"{key} = {json.dumps(value)}" for key, value in accounts.items()),
        "[clusters.shop.secrets]",
        *(f"{key} = {json.dumps(value)}" for key, value in source.items()),
        "[clusters.shop.tls]",
        *(f"{key} = {json.dumps(value)}" for key, value in tls.items()),
        "[audit]",
        f"directory = {json.dumps(str(directory / 'audit'))}",
    ]
    path = directory / "config.toml"
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")
    return path


def home_of(cluster):
    """The directory of a running cluster, with the key that proves it to be a demo."""
    return cluster.primary.datadir.parents[1]


def demo_configuration(cluster, directory):
    """Write the demo's own configuration for a cluster that stands elsewhere, as does what proves it to be a demo."""
    nodes = {f"{node.host}:{node.port}": node.name for node in cluster.nodes}
    return configured(directory, nodes, passwords=cluster.accounts, demo=home_of(cluster)).config


def _tables(settings):
    """The lines of settings by node address."""
    for key, tables in settings.items():
        for name, table in tables.items() if isinstance(tables, dict) else ():
            yield f"[clusters.shop.{key}.{json.dumps(name)}]"
            yield from (f"{each} = {json.dumps(value)}" for each, value in table.items())


def listen(cluster):
    """Have every server write down each text that it is sent."""
    for node in cluster.nodes:
        with cluster.dba_connect(node) as dba, dba.cursor() as cursor:
            cursor.execute("SET GLOBAL log_output = 'TABLE'")
            cursor.execute("SET GLOBAL general_log = 1")


def times_sent(cluster, marker):
    """How often the servers that still live were sent a text to run that contains the marker."""
    total = 0
    for node in cluster.nodes:
        try:
            dba = cluster.dba_connect(node)
        except Exception:
            continue
        with dba, dba.cursor() as cursor:
            cursor.execute(
                "SELECT COUNT(*) FROM mysql.general_log WHERE command_type = 'Query'"
                " AND argument LIKE %s AND argument NOT LIKE '%%general_log%%' AND argument NOT LIKE '%%EXPLAIN FORMAT%%'",
                (f"%{marker}%",),
            )
            total += cursor.fetchone()[0]
    return total
