"""Every recipe of docs/runbook.md is typed as it stands there, and must show what the page promises."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
ALL = re.findall(r"^## (\d+\. .*?)\n(.*?)(?=^## |^---)", TEXT, re.MULTILINE | re.DOTALL)
RECIPES = [(title, body) for title, body in ALL if "<!-- real servers: " not in body]
# Those for real servers are played in tests/servers/test_runbook_incidents.py.


def steps_of(body):
    """Yield ("shop" or "$", what is typed, what is then seen)."""
    steps = []
    for line in body.splitlines():
        if line.startswith("    shop> "):
            steps.append(("shop", line.removeprefix("    shop> "), []))
        elif line.startswith("    $ "):
            steps.append(("$", line.removeprefix("    $ "), []))
        elif line.startswith("    … "):
            steps[-1][2].append(line.removeprefix("    … "))
    return steps


def words(text):
    """A text without colours, frames, colons and line ends: what stands there is what counts."""
    return " ".join(re.sub("\x1b\\[[0-9;]*m", "", text).replace("│", " ").replace(":", " ").split())


def test_there_are_twelve_recipes():
    assert [title.split(".")[0] for title, _ in RECIPES] == [str(number) for number in range(1, 13)]
    assert all(steps_of(body) for _, body in RECIPES)


@pytest.mark.parametrize(("title", "body"), RECIPES, ids=[title for title, _ in RECIPES])
def test_a_recipe_shows_what_it_promises_in_the_console(title, body, road):
    """The road's own fixture keeps replication running, but for the recipe about its end."""
    if "<!-- replication is stopped -->" in body:
        road.replicator.stop()
        road.wait_unfit()
    pathlib.Path("/tmp/orders.csv").unlink(missing_ok=True)
    road.answers = ["shop"] if "\\elevate" in body else []
    steps = [step for step in steps_of(body) if step[0] == "shop"]
    shown = words(road.type_decorated([typed for _, typed, _ in steps])) if steps else ""
    at = 0
    for _, typed, seen in steps:
        for excerpt in map(words, seen):
            assert excerpt in shown[at:], f"{title}: {typed}: {shown[at:]}"
            at = shown.index(excerpt, at) + len(excerpt)
    assert "this is a fault of safeconsole" not in shown
    pathlib.Path("/tmp/orders.csv").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A demo that is served to other processes, as `safeconsole demo --serve` does."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path_factory.mktemp("state"))}
    demo = subprocess.Popen(
        [sys.executable, "-m", "safeconsole", "demo", "--serve"], stdout=subprocess.PIPE, text=True, env=environ
    )
    try:
        yield {**environ, "SAFECONSOLE_CONFIG": json.loads(demo.stdout.readline())["config"]}
    finally:
        demo.send_signal(signal.SIGTERM)
        demo.wait(timeout=20)
        demo.stdout.close()


def test_a_recipe_shows_what_it_promises_in_a_shell(served):
    commands = [step for _, body in RECIPES for step in steps_of(body) if step[0] == "$"]
    assert len(commands) >= 5
    for _, typed, seen in commands:
        command = typed.replace("safeconsole ", f"{sys.executable} -m safeconsole ", 1)
        done = subprocess.run(command, shell=True, capture_output=True, text=True, env=served, cwd=ROOT)
        for excerpt in seen:
            assert excerpt in done.stdout + done.stderr, f"{typed}: {done.stdout}{done.stderr}"
