"""
A console in the middle of a read, a write and a transaction, while its client, its network or its server breaks.

`seen` breaks one and returns what the person, the servers and the journal showed. The tests hold it to what must be;
`benchmarks.limits --disconnects` prints it.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pymysql
from msgspec.structs import replace

from safeconsole.cli.application import exit_code_of
from safeconsole.errors import NotSentError, SafeConsoleError, StoppedError

from safeconsole.demo.servers import connect_root
from tests.harness.clusters import has_ended, start_replication, stop_replication
from tests.harness.desk import Desk, home_of, seated
from tests.harness.proxy import Proxy
from tests.harness.talking import threads_running, wait_for
from safeconsole.demo import daemon

RUN_SECONDS = 4.0
ROW = 51
CHANGE = f"UPDATE orders SET status = '{{mark}}' WHERE id = {ROW}"
SLOW_WRITE = "UPDATE orders SET status = IF(SLEEP(0.02) = 0, '{mark}', status) WHERE id BETWEEN 100 AND 500"
SLOW_READ = "SELECT COUNT(*), '{mark}' FROM orders a JOIN orders b JOIN orders c WHERE a.total + b.total + c.total < 0"
DEEDS = {
    "read": ((), SLOW_READ),
    "write": ((), SLOW_WRITE),
    "transaction": (("BEGIN", CHANGE), SLOW_WRITE),
}
"""What runs before, and what runs when it breaks."""

AFTERWARDS = "SELECT id FROM orders WHERE id = 1"
BREAKS = ("client killed", "network cut", "network deaf", "server restarted", "server crashed")
_CHANGING = frozenset({"max_execution_time", "max_statement_time", "wait_timeout"})
_SIGNALS = {"server restarted": signal.SIGTERM, "server crashed": signal.SIGKILL}

CONSOLE = """
from pathlib import Path
from types import SimpleNamespace
from tests.harness.desk import seated

cluster = SimpleNamespace(nodes=(), accounts={accounts!r})
with seated(cluster, Path({directory!r}), nodes={nodes!r}, justification=None, demo={home!r}) as desk:
    desk.session.elevate(reason="incident 7")
    desk.session.tighten("run_seconds", {run_seconds})
    for text in {texts!r}:
        desk.run(text)
"""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """
    What one break showed.

    Attributes:
        error: what the person was told; None where the person's program was gone.
        told_seconds: from the break until they were told, 0 where nobody was.
        gone_seconds: from the break until no server ran it any more.
        kept_rows: rows that hold its change afterwards.
        sent: how often the servers were sent its text.
        outcomes: of its intent, in the journal.
        back_seconds: until the next statement of the session, or of a new one, was answered.
        guards: as they were read back before its intent, and before that next one.
    """

    error: SafeConsoleError | None
    told_seconds: float
    gone_seconds: float
    kept_rows: int
    sent: int
    outcomes: tuple
    back_seconds: float
    guards: tuple

    @property
    def said(self):
        """The outcome in a few words, with the exit code and what the process list said."""
        if self.error is None:
            return "nobody is told"
        verified = f", `{self.error.verified}`" if isinstance(self.error, StoppedError) else ""
        return f"{type(self.error).__name__.removesuffix('Error')} ({exit_code_of(self.error)}){verified}"

    @property
    def row(self):
        """Its figures as cells."""
        told = "-" if self.error is None else f"{self.told_seconds:.1f} s"
        return f"{told} | {self.gone_seconds:.1f} s | {self.kept_rows} | {self.sent} | {self.back_seconds:.1f} s"


class Breakable:
    """A cluster whose nodes stand behind proxies, and come back when they were ended."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.proxies = {node.name: Proxy(node.host, node.port) for node in cluster.nodes}
        self._launcher, self._started = daemon.Launcher(), []
        self._listen()

    @property
    def nodes(self):
        """Where a console is told to find them."""
        return {name: proxy.address for name, proxy in self.proxies.items()}

    def end(self, node, how):
        """End a node's server by a signal; return the command that it ran."""
        command = tuple(Path(f"/proc/{node.pid}/cmdline").read_bytes().decode().split("\0")[:-1])
        os.kill(node.pid, how)
        wait_for(lambda: has_ended(node.pid), at_most=30)
        # One that nobody has waited for still holds the lock of its socket.
        with suppress(ChildProcessError):
            os.waitpid(node.pid, 0)
        return command

    def start(self, node, command):
        """Start a node's server again, on the same data, and wait until it answers."""
        place = daemon.DaemonPlace(
            data_directory=node.datadir, socket=node.socket, port=node.port, log=node.datadir.parent / "server.log"
        )
        process = self._launcher.launch(command, place)
        self._started.append(process)
        wait_for(lambda: _answers(node), at_most=60)
        known = self.cluster.nodes
        self.cluster.nodes = tuple(replace(n, pid=process.pid) if n.name == node.name else n for n in known)

    def heal(self):
        """Put everything back as it was: who follows whom, and the servers' own account of what they are sent."""
        for proxy in self.proxies.values():
            proxy.hear_again()
        self._listen()
        for node in self.cluster.replicas:
            # It would look for its primary once a minute.
            stop_replication(self.cluster, node)
            start_replication(self.cluster, node)
        self.cluster.wait_caught_up()

    def _listen(self):
        """Have every server write down each text that it is sent, in a file: a table would not outlive a crash."""
        for node in self.cluster.nodes:
            with self.cluster.dba_connect(node) as dba, dba.cursor() as cursor:
                cursor.execute("SET GLOBAL log_output = 'FILE'")
                cursor.execute(f"SET GLOBAL general_log_file = '{_asked_file(node)}'")
                cursor.execute("SET GLOBAL general_log = 1")

    def times_sent(self, mark):
        """How often the servers were sent a text to run that holds the mark, by the console."""
        lines = (line for node in self.cluster.nodes for line in _asked_file(node).read_text().splitlines())
        ours = (line for line in lines if mark in line and "Query" in line and "processlist" not in line)
        return sum("EXPLAIN FORMAT" not in line for line in ours)

    def close(self):
        """Stop what was started anew."""
        for proxy in self.proxies.values():
            proxy.close()
        daemon.stop_all(self._started)
        self._launcher.close()


def _asked_file(node):
    return node.datadir.parent / "asked.log"


def _answers(node):
    try:
        connect_root(node.socket).close()
    except (OSError, pymysql.MySQLError):
        return False
    return True


@contextmanager
def breakable(cluster):
    """Make a cluster of one's own breakable."""
    made = Breakable(cluster)
    try:
        yield made
    finally:
        made.close()


class _Breaker(threading.Thread):
    """Waits until a statement runs, breaks what it depends on, and sees when it is gone."""

    def __init__(self, broken, how, node, mark, *, kill=lambda: None):
        super().__init__(daemon=True)
        self._broken, self._how, self._node, self._mark, self._kill = broken, how, node, mark, kill
        self.at = self.gone = 0.0

    def run(self):
        wait_for(lambda: threads_running(self._broken.cluster, self._node, self._mark))
        time.sleep(0.3)
        self.at = time.monotonic()
        if self._how in _SIGNALS:
            command = self._broken.end(self._node, _SIGNALS[self._how])
            self.gone = time.monotonic()
            self._broken.start(self._node, command)
            return
        if self._how == "client killed":
            self._kill()
        elif self._how == "network cut":
            self._broken.proxies[self._node.name].cut()
        else:
            self._broken.proxies[self._node.name].go_deaf()
        wait_for(lambda: not threads_running(self._broken.cluster, self._node, self._mark), at_most=60)
        self.gone = time.monotonic()


def seen(broken, directory, *, deed, how):
    """
    Break one deed and return what was seen.

    Args:
        broken: a `Breakable`.
        directory: for the console's configuration and journal; made.
        deed: of `DEEDS`.
        how: of `BREAKS`.
    """
    mark = f"m{time.monotonic_ns()}"[-12:]
    before, text = DEEDS[deed]
    texts = [*(each.format(mark=f"{mark}a") for each in before), text.format(mark=f"{mark}z")]
    node = broken.cluster.replicas[0] if deed == "read" else broken.cluster.primary
    strike = _kill_client if how == "client killed" else _strike
    breaker, error, told_at, back = strike(broken, directory, how, node, f"{mark}z", texts)
    records = Desk(None, None, directory / "audit").records
    (struck,) = [record for record in records("intent") if f"{mark}z" in record["sql"]]
    return Seen(
        error=error,
        told_seconds=max(told_at - breaker.at, 0.0) if error else 0.0,
        gone_seconds=breaker.gone - breaker.at,
        kept_rows=_rows_with(broken.cluster, mark),
        sent=broken.times_sent(f"{mark}z"),
        outcomes=tuple(record["outcome"] for record in records("outcome") if record["statement"] == struck["statement"])
        if error
        else (),
        back_seconds=back,
        guards=tuple(_standing(record["guards"]) for record in (struck, records("intent")[-1])),
    )


def _strike(broken, directory, how, node, mark, texts):
    """Break what a console of this process depends on, and let it go on afterwards."""
    breaker = _Breaker(broken, how, node, mark)
    with seated(broken.cluster, directory, nodes=broken.nodes, justification=None, connect_seconds=1.5) as desk:
        desk.session.elevate(reason="incident 7")
        desk.session.tighten("run_seconds", RUN_SECONDS)
        for text in texts[:-1]:
            desk.run(text)
        breaker.start()
        error = desk.error_of(texts[-1])
        told_at = time.monotonic()
        breaker.join()
        broken.heal()
        if len(texts) > 1:
            # What was open is over: nothing may go on in it.
            refused = desk.error_of("COMMIT")
            assert isinstance(refused, NotSentError), refused.message
        back, _, _ = desk.seconds_until(AFTERWARDS)
    return breaker, error, told_at, back


def _kill_client(broken, directory, how, node, mark, texts):
    """Kill a console that is a process of its own, and sit down at a new one."""
    text = CONSOLE.format(
        accounts=dict(broken.cluster.accounts),
        directory=str(directory),
        nodes=broken.nodes,
        home=str(home_of(broken.cluster)),
        run_seconds=RUN_SECONDS,
        texts=texts,
    )
    running = subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.PIPE)
    breaker = _Breaker(broken, how, node, mark, kill=running.kill)
    breaker.run()
    running.communicate()
    broken.heal()
    with seated(broken.cluster, directory, nodes=broken.nodes, justification=None) as desk:
        desk.session.tighten("run_seconds", RUN_SECONDS)
        back, _, _ = desk.seconds_until(AFTERWARDS)
    return breaker, None, 0.0, back


def _standing(guards):
    """Guards without those that follow a statement's own limit, or that an open transaction tightens."""
    return {name: value for name, value in guards.items() if name not in _CHANGING}


def _rows_with(cluster, mark):
    with cluster.dba_connect(cluster.primary) as dba, dba.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM shop.orders WHERE status LIKE '{mark}%'")
        return cursor.fetchone()[0]
