"""
What the road costs in a loop, against plain SQLAlchemy and PyMySQL in the same run; and how soon the prompt is there.

    python benchmarks/python_console.py [--engine mysql|mariadb] [--loads 1000]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pty
import select
import statistics
import sys
import tempfile
import time
from pathlib import Path

import pymysql
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from safeconsole.app import Program
from safeconsole.cli.application import Door
from safeconsole.demo.servers import start_cluster
from safeconsole.demo.stage import configured
from safeconsole.output.confirming import NoTerminal
from safeconsole.output.presenting import screen_of
from safeconsole.python.namespace import names_for
from safeconsole.python.session import PythonSession

STARTS = 5


class Base(DeclarativeBase):
    """An application's base."""


class Order(Base):
    """One order."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int]
    status: Mapped[str]


def n_plus_one(engine, loads):
    """Milliseconds for each of so many ORM loads, each a statement of its own."""
    with Session(engine) as session:
        session.get(Order, 1)
        each = []
        for number in range(2, loads + 2):
            started = time.perf_counter()
            session.get(Order, number % 5_000 + 1)
            each.append(time.perf_counter() - started)
            session.expunge_all()
    return [seconds * 1000 for seconds in each]


def parts(line, loads):
    """Milliseconds of the steps that this process alone is to blame for."""
    found = {}
    text = "SELECT id, customer_id, status FROM orders WHERE id = 7"
    (statement,) = line.session.split(text)
    for name, step in (
        ("split and analyse", lambda: line.session.split(text)),
        ("decide, with the server's estimate", lambda: line.session.consider(statement)),
    ):
        times = []
        for _ in range(min(loads, 200)):
            started = time.perf_counter()
            step()
            times.append((time.perf_counter() - started) * 1000)
        found[name] = statistics.median(times)
    return found


def seconds_to_prompt(*command):
    """From start to the first prompt, and to the answer to what is typed there at once, on a terminal of its own."""
    started = time.perf_counter()
    child, terminal = pty.fork()
    if child == 0:
        os.execve(sys.executable, [sys.executable, *command], {**os.environ, "TERM": "xterm-256color"})
    try:
        seen = _seen(terminal, b">>>", started)
        prompt = time.perf_counter() - started
        os.write(terminal, b"271*31\r")
        _seen(terminal, b"8401", started, seen.partition(b">>>")[2])
        return prompt, time.perf_counter() - started
    finally:
        os.write(terminal, b"\x04")
        os.close(terminal)
        os.waitpid(child, 0)


def _seen(terminal, wanted, started, seen=b""):
    """Read until some text was written, answering where the cursor is."""
    while wanted not in seen:
        if time.perf_counter() - started > 30:
            raise SystemExit(f"{wanted!r} was not seen in 30 s: {seen[-500:]!r}")
        if select.select([terminal], [], [], 0.05)[0]:
            with contextlib.suppress(OSError):
                seen += os.read(terminal, 65_536)
            if b"\x1b[6n" in seen:
                os.write(terminal, b"\x1b[1;1R")
                seen = seen.replace(b"\x1b[6n", b"")
    return seen


def said(name, times):
    print(f"{name:44} median {statistics.median(times):7.3f} ms   p95 {sorted(times)[int(len(times) * 0.95)]:7.3f} ms")
    return statistics.median(times)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--engine", default="mysql", choices=("mysql", "mariadb"))
    arguments.add_argument("--loads", type=int, default=1_000)
    given = arguments.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="safeconsole-bench-") as directory,
        start_cluster(given.engine, Path(directory) / "nodes", replicas=1) as cluster,
    ):
        nodes = {f"{node.host}:{node.port}": node.name for node in cluster.nodes}
        up = configured(Path(directory), nodes, passwords=cluster.accounts)
        replica = cluster.nodes[1]
        plain = sa.create_engine(
            "mysql+pymysql://",
            creator=lambda: pymysql.connect(
                host=replica.host, port=replica.port, user="console_read", password=cluster.accounts["console_read"],
                database="shop", charset="utf8mb4",
            ),
        )  # fmt: skip
        program = Program(dict(os.environ))
        program.configure(str(up.config))
        with program.open(Door(cluster="shop", face="python", confirmer=NoTerminal())) as session:
            line = PythonSession(session.session, session.rules, screen_of(io.StringIO(), io.StringIO(), {}))
            with line.at_work():
                db = names_for(line)["db"]
                without = said("ORM load, plain SQLAlchemy and PyMySQL", n_plus_one(plain, given.loads))
                guarded = said("ORM load, down the road", n_plus_one(db.engine, given.loads))
                print(f"{'overhead of a statement':44} median {guarded - without:7.3f} ms")
                for name, milliseconds in parts(line, given.loads).items():
                    print(f"  {name:42} median {milliseconds:7.3f} ms")
        ours = [
            seconds_to_prompt("-m", "safeconsole", "--config", str(up.config), "python", "shop") for _ in range(STARTS)
        ]
        theirs = [seconds_to_prompt("-m", "ptpython") for _ in range(STARTS)]
        for at, name in enumerate(("the first prompt", "the answer to what is typed at once")):
            a, b = (statistics.median(times[at] for times in each) for each in (ours, theirs))
            print(f"start to {name}: {a:.2f} s, plain ptpython {b:.2f} s, {a / b:.2f} times")


if __name__ == "__main__":
    main()
