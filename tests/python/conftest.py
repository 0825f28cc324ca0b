"""The Python console's namespace on the real road and the embedded engine; the person's answers are scripted."""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from safeconsole.demo.stage import staged
from safeconsole.cli.application import Door
from safeconsole.python.session import PythonSession
from safeconsole.python.namespace import names_for
from safeconsole.output.confirming import NoTerminal, is_brake
from safeconsole.output.presenting import screen_of
from safeconsole.app import Program

ROOT = Path(__file__).resolve().parents[2]


class Answering(NoTerminal):
    """Types one text whenever the cluster's name is asked for, and says yes to what is asked once more with it."""

    def __init__(self, text):
        self.text = text

    def elevate(self, request, _considered):
        return self.text == request.cluster

    def confirm(self, considered):
        return is_brake(considered) and self.text == "shop"


class Console:
    """One session; `person` says the cluster's name when asked."""

    def __init__(self, config, *, says="shop"):
        self.config = Path(config)
        self.data, self.messages = io.StringIO(), io.StringIO()
        program = Program({**os.environ, "HOME": str(self.config.parent)})
        program.configure(str(config))
        self._stack = contextlib.ExitStack()
        self.session = self._stack.enter_context(
            program.open(Door(person=program.person, cluster="shop", face="python", confirmer=Answering(says)))
        )
        self.line = PythonSession(self.session.session, self.session.rules, screen_of(self.data, self.messages, {}))
        self.names = names_for(self.line)
        self._stack.enter_context(self.line.at_work())

    @property
    def db(self):
        return self.names["db"]

    def elevate(self, **given):
        return self.names["elevate"](**{"reason": "a test", **given})

    def close(self):
        self._stack.close()

    def records(self):
        """What the journal of this session holds, as dictionaries."""
        self.close()
        newest = max(
            (self.config.parent / "audit" / "sessions").glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns
        )
        return [json.loads(line)["record"] for line in newest.read_text().splitlines()]


@pytest.fixture(scope="session")
def shop():
    """The configuration of an embedded cluster."""
    with staged("embedded") as up:
        console = Console(up.config)
        until = time.monotonic() + 30
        while not all(reading.replicating for reading in console.session.session.topology()):
            assert time.monotonic() < until, "the replicas do not follow"
            time.sleep(0.05)
        console.close()
        yield up.config


@pytest.fixture
def console(shop):
    console = Console(shop)
    yield console
    console.close()


@pytest.fixture
def declining(shop):
    """A session whose person never grants anything."""
    console = Console(shop, says="no")
    yield console
    console.close()


@pytest.fixture
def run_program(shop, tmp_path):
    """A function that runs `safeconsole python shop …` as a process of its own."""

    def run(*arguments, source="", config=shop, **environ):
        return subprocess.run(
            [sys.executable, "-m", "safeconsole", "--config", str(config), "python", "shop", *arguments],
            input=source, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), **environ},
        )  # fmt: skip

    return run
