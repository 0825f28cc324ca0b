"""
A team at work: consoles in terminals and one-shots, under exactly the limits that `init --people N` prints.

    python -m benchmarks.team [--flavour mysql|mariadb] [--people 60] [--consoles 60] [--one-shots 100] [--write]

Starts a throw-away cluster of three, makes the accounts anew with what `init` wrote, lets one console work alone, then
opens all consoles at once, leaves them idle, and has them work beside all one-shots. Prints who was not answered,
the connections on each node (idle, at work, most at any moment), and the time of an answer beside that of one console
alone. --write puts the figures into docs/benchmarks.md.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.console import machine, written
from safeconsole.demo.binaries import FLAVOURS
from safeconsole.demo.servers import start_cluster, tell
from tests.harness.terminal import Terminal

SECTION = "team"
LOOK_SECONDS = 0.25
IDLE_WITHIN_SECONDS = 60.0
"""Until consoles that do nothing have given back what they give back."""

ANSWER_SECONDS = 180.0


@dataclass
class Work:
    """
    What a team did.

    Attributes:
        alone, together: seconds of each answer.
        one_shots: seconds of each, from its start to its end.
        unanswered: what was said instead of an answer.
        idle, busy, peak: connections of our accounts, by node.
        verified: what is wrong with the journal that all wrote to at once, "" for nothing.
    """

    alone: list = field(default_factory=list)
    together: list = field(default_factory=list)
    one_shots: list = field(default_factory=list)
    unanswered: list = field(default_factory=list)
    idle: dict = field(default_factory=dict)
    busy: dict = field(default_factory=dict)
    peak: dict = field(default_factory=dict)
    verified: str = ""


def made_for(cluster, directory: Path, people: int) -> Path:
    """Have `init` write a configuration and accounts for a number of people, and make those; returns the file."""
    config, grants = directory / "config.toml", directory / "grants.sql"
    nodes = [word for node in cluster.nodes for word in ("--node", f"{node.host}:{node.port}")]
    command = [sys.executable, "-m", "safeconsole", "--config", str(config), "init", "shop", *nodes]
    options = ["--schema", "shop", "--people", str(people), "--engine", cluster.flavour, "--grants-file", str(grants)]
    config.touch(mode=0o600)
    environ = {**os.environ, "HOME": str(directory)}
    subprocess.run([*command, *options], check=True, capture_output=True, env=environ)
    statements = [line.removesuffix(";") for line in grants.read_text().splitlines() if line]
    created = [re.match(r"CREATE USER ('[^']+'@'[^']+') IDENTIFIED BY '([^']+)'", line) for line in statements]
    passwords = {found[1].split("'")[1]: found[2] for found in created if found}
    with cluster.dba_connect(cluster.primary) as dba:
        tell(dba, *(f"DROP USER IF EXISTS {found[1]}" for found in created if found), *statements)
    cluster.wait_caught_up()
    secrets = directory / "secrets"
    secrets.mkdir(mode=0o700)
    for account, password in passwords.items():
        (secrets / account).write_text(f"{password}\n")
    lines = (
        "[clusters.shop.names]",
        *(f'"{node.host}:{node.port}" = "{node.name}"' for node in cluster.nodes),
        "[clusters.shop.secrets]",
        'sources = ["command"]',
        f"command = {json.dumps(['cat', f'{secrets}/{{account}}'])}",
        "[clusters.shop.tls]",
        'mode = "disabled"',
        "[audit]",
        f"directory = {json.dumps(str(directory / 'audit'))}",
    )
    with config.open("a") as file:
        file.write("\n".join(("", *lines, "")))
    return config


class Watcher:
    """Counts the connections of our accounts on each node, again and again."""

    def __init__(self, cluster):
        self._cluster, self._stopped = cluster, threading.Event()
        self.now, self.peak = {}, {}
        self._thread = threading.Thread(target=self._look)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopped.set()
        self._thread.join()

    def idle(self, consoles: int) -> dict:
        """Return the connections by node once none has more than one for each console, or after some time."""
        until = time.monotonic() + IDLE_WITHIN_SECONDS
        while sum(self.now.values()) > consoles and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)
        return self.now

    def _look(self):
        with ExitStack() as opened:
            nodes = {node.name: opened.enter_context(self._cluster.dba_connect(node)) for node in self._cluster.nodes}
            while not self._stopped.wait(LOOK_SECONDS):
                self.now = {name: _connections(dba) for name, dba in nodes.items()}
                self.peak = {name: max(count, self.peak.get(name, 0)) for name, count in self.now.items()}


def _connections(dba) -> int:
    with dba.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE user LIKE 'console\\_%'")
        return cursor.fetchone()[0]


class Seat:
    """One console in a terminal, and who types there."""

    def __init__(self, config, number):
        self.terminal, self._number, self._turn = Terminal(config), number, 0

    def ask(self):
        """Ask for one row by its key; seconds until its answer stands there, and what was said, "" for the answer."""
        self._turn += 1
        # What was typed is drawn too: the answer is a number that was not typed.
        mark = 1_000_000 + 1000 * self._number + self._turn
        before, began = len(self.terminal.text), time.perf_counter()
        self.terminal.type(f"SELECT id, {mark - 1} + 1 AS mark FROM orders WHERE id = {self._turn};\r")
        try:
            self.terminal.wait_for(
                lambda: re.search(rf"\b{mark}\b|safeconsole: ", self.terminal.text[before:]), at_most=ANSWER_SECONDS
            )
        except AssertionError:
            return time.perf_counter() - began, "no answer"
        took, shown = time.perf_counter() - began, self.terminal.text[before:]
        if re.search(rf"\b{mark}\b", shown):
            return took, ""
        self.terminal.read(0.3)
        return took, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.terminal.text[before:])

    def leave(self):
        with suppress(OSError):
            self.terminal.type("\x04")
        self.terminal.ends(at_most=20)
        self.terminal.close()


def side_by_side(acts) -> None:
    threads = [threading.Thread(target=act) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def worked(cluster, config: Path, *, consoles: int, one_shots: int, each: int) -> Work:
    """Let a team work; see `Work`.

    Args:
        each: statements of each console beside the one-shots.
    """
    work = Work()

    def sit(number: int, times: int, into: list, pause_seconds: float = 0.0) -> None:
        for _ in range(times):
            took, said = seats[number].ask()
            into.append(took)
            if said:
                work.unanswered.append(f"console {number}: {said}")
            time.sleep(pause_seconds)

    def shoot(number: int) -> None:
        command = [sys.executable, "-m", "safeconsole", "--config", str(config), "sql", "shop"]
        text = f"SELECT id FROM orders WHERE id = {number + 1}"
        began = time.perf_counter()
        told = subprocess.run(
            [*command, "-e", text, "--format", "csv"],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "HOME": str(config.parent), "USER": f"person{number}"},
        )
        work.one_shots.append(time.perf_counter() - began)
        if told.stdout != f"id\n{number + 1}\n":
            work.unanswered.append(f"one-shot {number}: exit {told.returncode}: {told.stderr}")

    seats = {0: Seat(config, 0)}
    try:
        sit(0, 1, [])
        sit(0, max(each * 4, 20), work.alone)
        with Watcher(cluster) as watcher:
            seats |= {number: Seat(config, number) for number in range(1, consoles)}
            side_by_side([lambda number=number: sit(number, 1, []) for number in seats])
            work.idle = watcher.idle(consoles)
            busy = [lambda number=number: sit(number, each, work.together, 0.5) for number in seats]
            shots = [lambda number=number: shoot(number) for number in range(one_shots)]
            timer = threading.Timer(1.0, lambda: work.busy.update(watcher.now))
            timer.start()
            side_by_side([*busy, *shots])
            timer.join()
            work.peak = watcher.peak
    finally:
        side_by_side([seat.leave for seat in seats.values()])
    work.verified = verified(config)
    return work


def verified(config: Path) -> str:
    """Return what `audit verify` says of the one journal directory that all of them wrote to, "" where it is whole."""
    command = [sys.executable, "-m", "safeconsole", "--config", str(config), "audit", "verify"]
    environ = {**os.environ, "HOME": str(config.parent)}
    told = subprocess.run(command, check=False, capture_output=True, text=True, env=environ)
    return "" if told.returncode == 0 else told.stdout + told.stderr


def percentile(seconds: list, share: float) -> float:
    return sorted(seconds)[min(int(len(seconds) * share), len(seconds) - 1)]


def report(work: Work, *, people: int, consoles: int, one_shots: int) -> list[str]:
    """Return the section: connections by node, then times."""
    limit = 2 * people
    lines = [
        f"### {consoles} consoles and {one_shots} one-shots, with the accounts of `init --people {people}`",
        "",
        f"Not answered: {len(work.unanswered)}. At most {limit} connections of an account are allowed on a node.",
        f"The journal that all of them wrote to is {'broken' if work.verified else 'whole'}.",
        "",
        "| connections | consoles idle | all at work | most at any moment |",
        "|---|---:|---:|---:|",
        *(f"| {name} | {work.idle[name]} | {work.busy[name]} | {work.peak[name]} |" for name in work.peak),
        "",
        "| an answer, ms | p50 | p99 |",
        "|---|---:|---:|",
    ]
    for name, seconds in (
        ("one console alone", work.alone),
        (f"{consoles} consoles, beside the one-shots", work.together),
        ("a one-shot, from its start to its end", work.one_shots),
    ):
        lines.append(f"| {name} | {statistics.median(seconds) * 1000:.0f} | {percentile(seconds, 0.99) * 1000:.0f} |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--flavour", choices=FLAVOURS, default="mysql")
    parser.add_argument("--people", type=int, default=60, help="what init is told")
    parser.add_argument("--consoles", type=int, default=60)
    parser.add_argument("--one-shots", type=int, default=100)
    parser.add_argument("--each", type=int, default=10, help="statements of each console beside the one-shots")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="console-team-") as made:
        directory = Path(made)
        with start_cluster(given.flavour, directory / "nodes") as cluster:
            config = made_for(cluster, directory, given.people)
            work = worked(cluster, config, consoles=given.consoles, one_shots=given.one_shots, each=given.each)
        given.mycli = given.client = None
        told = report(work, people=given.people, consoles=given.consoles, one_shots=given.one_shots)
        text = "\n".join([*machine(given), *told])
    print(text)
    for each in (*work.unanswered[:5], work.verified):
        print(each)
    if given.write and not (work.unanswered or work.verified):
        written(SECTION, text)
    sys.exit(bool(work.unanswered or work.verified))


if __name__ == "__main__":
    main()
