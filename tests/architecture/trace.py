"""
Trace one statement from the split to the engine's first write: which of our files and functions it passes.

Run as `python -m tests.architecture.trace`, it writes the path into docs/life-of-a-statement.md; `test_trace.py` compares the page and the budget.
"""

import sys
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from safeconsole.clock import SystemClock
from safeconsole.config.identity import Person
from safeconsole.config.policies import PolicyFiles
from safeconsole.config.settings import ClusterSettings
from safeconsole.audit.journal import open_journal
from safeconsole.demo.embedded import Replicator, create_embedded
from safeconsole.output.confirming import NoTerminal
from safeconsole.policy.readings import Role
from safeconsole.session.session import Session
from safeconsole.session.context import People
from safeconsole.session.context import SessionContext
from safeconsole.sqlite.engine import open_engine

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "safeconsole"
PAGE = REPOSITORY / "docs" / "life-of-a-statement.md"
BEGIN, END = "<!-- the path: python -m tests.architecture.trace -->", "<!-- the end of the path -->"
TEXT = "SELECT id FROM orders WHERE id = 7"


class Trace(Struct):
    """The functions in the order of their first call, as (file, function), and the number of calls."""

    path: list[tuple[str, str]]
    calls: int
    changes: int

    @property
    def files(self) -> list[str]:
        return list(dict.fromkeys(file for file, _ in self.path))


def traced(act) -> Trace:
    """Trace our own functions on this thread until the engine first hands something to its driver."""
    calls, over = [], []

    def look(frame, event, argument):
        if event == "c_call" and getattr(argument, "__name__", "") == "execute":
            over.append(True)
        file = frame.f_code.co_filename
        if event == "call" and not over and file.startswith(str(PACKAGE)):
            calls.append((file.removeprefix(f"{PACKAGE}/"), frame.f_code.co_qualname))

    sys.setprofile(look)
    try:
        act()
    finally:
        sys.setprofile(None)
    changes = sum(one[0] != other[0] for one, other in zip(calls, calls[1:], strict=False))
    return Trace(path=list(dict.fromkeys(calls)), calls=len(calls), changes=changes)


def trace_of_a_read() -> Trace:
    """Return the trace of the second run of a read by key on the embedded cluster."""
    with tempfile.TemporaryDirectory() as directory:
        cluster = create_embedded(Path(directory) / "files")
        clock = SystemClock()
        engine = open_engine(
            "shop", ClusterSettings(nodes=tuple(str(node.path) for node in cluster.nodes), engine="sqlite"), clock
        )
        with Replicator(cluster) as replicator:
            replicator.wait_caught_up()
            while not any(reading.replicating for reading in engine.topology() if reading.role is Role.REPLICA):
                time.sleep(0.01)
            gate = Session(
                context=SessionContext(
                    cluster="shop",
                    environment="production",
                    face="sql",
                    person=Person(name="ada", login="ada", groups=(), host="laptop", terminal=True),
                ),
                policy=PolicyFiles().load("baseline"),
                engine=engine,
                journal=open_journal(Path(directory) / "audit", clock=clock),
                clock=clock,
                people=People(confirmer=NoTerminal()),
            )

            def walk() -> None:
                for statement in gate.split(TEXT):
                    gate.execute(statement).take()

            walk()
            found = traced(walk)
            gate.close()
        engine.close()
    return found


def outline(trace: Trace) -> str:
    """Return the path as the page shows it: one line a file in the order of its first call, with its functions."""
    lines = []
    for number, file in enumerate(trace.files, start=1):
        # What a comprehension is called, and whether it is a call at all, differs between versions of Python.
        functions = ", ".join(f"`{name}`" for at, name in trace.path if at == file and "<" not in name)
        lines.append(f"{number}. `{file}`: {functions}")
    return "\n".join(lines)


def page_with(path: str) -> str:
    """Return the page with another path between its marks."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return f"{before}{BEGIN}\n{path}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    found = trace_of_a_read()
    PAGE.write_text(page_with(outline(found)), encoding="utf-8")
    print(f"{len(found.files)} files, {found.calls} calls, {found.changes} changes of file")
