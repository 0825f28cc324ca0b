"""Ways round the gate, one a file, each run by the real program; what happens is the file's first line."""

import json
import re
import sqlite3
from pathlib import Path

import pytest

CASES = sorted((Path(__file__).resolve().parents[1] / "cases" / "python").glob("*.py"))
ORDERS = 5_000
WORDS = ("sockets", "programs", "memory")
BASELINE = Path(__file__).resolve().parents[2] / "policies" / "baseline.yaml"


def expectations(case):
    head = case.read_text().splitlines()[0].removeprefix("# ")
    return dict(part.split(": ", 1) for part in head.split(" | "))


def configured(shop, case, directory):
    """The shop's configuration with a journal of this test's own, and the nodes that the case names beside it."""
    text = re.sub(
        r"^directory = .*$", f"directory = {json.dumps(str(directory / 'audit'))}", shop.read_text(), flags=re.M
    )
    more = expectations(case).get("nodes")
    if more:
        text = text.replace("nodes = [", f"nodes = [{json.dumps(more)}, ")
    config = directory / "config.toml"
    config.write_text(text)
    config.chmod(0o600)
    return config


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_attack_ends_as_its_file_says(case, shop, tmp_path, run_program):
    expected = expectations(case)
    config = configured(shop, case, tmp_path)
    script = tmp_path / "attack.py"
    script.write_text(case.read_text())
    ended = run_program(str(script), config=config)
    assert expected["says"] in ended.stdout + ended.stderr
    assert ended.returncode == int(expected["exit"]), ended.stderr
    (session,) = (tmp_path / "audit" / "sessions").glob("*.jsonl")
    records = [json.loads(line)["record"] for line in session.read_text().splitlines()]
    assert expected["journal"] in {record.get("what", record["type"]) for record in records}
    assert not (tmp_path / "escaped").exists()
    assert orders(shop) == ORDERS


def recording(shop, directory, words):
    """The shop's configuration under the baseline policy with other fences."""
    (directory / "policy.yaml").write_text(f"{BASELINE.read_text()}\nfences: {json.dumps(words)}\n")
    config = configured(shop, CASES[0], directory)
    named = f"[clusters.shop]\npolicy = {json.dumps(str(directory / 'policy.yaml'))}"
    config.write_text(re.sub(r"^policy = .*\n", "", config.read_text(), flags=re.M).replace("[clusters.shop]", named))
    return config


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("programs", "import os; print(os.system('true'))"),
        ("memory", "import ctypes; print(ctypes.CDLL(None).abs(0))"),
        ("sockets", "import socket; print(socket.socket().connect_ex(('localhost', 3399)) and 0)"),
    ],
)
def test_a_policy_may_have_a_fence_record_only(shop, tmp_path, run_program, word, code):
    config = recording(shop, tmp_path, {word: "record"})
    config.write_text(config.read_text().replace("nodes = [", 'nodes = ["127.0.0.1:3399", '))
    ended = run_program("-c", code, config=config)
    assert ended.stdout.startswith("0"), ended.stderr
    assert "let pass, as the policy says" in notes(tmp_path)
    others = recording(shop, tmp_path, {each: "record" for each in WORDS if each != word})
    others.write_text(others.read_text().replace("nodes = [", 'nodes = ["127.0.0.1:3399", '))
    assert run_program("-c", code, config=others).returncode == 3


def notes(directory):
    return "".join(path.read_text() for path in (directory / "audit" / "sessions").glob("*.jsonl"))


def test_every_case_says_why():
    assert CASES
    assert all(expectations(case).get("why") for case in CASES)


def orders(shop):
    path = shop.parent / "nodes" / "primary.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as primary:
        count = primary.execute("SELECT count(*) FROM orders").fetchone()[0]
    primary.close()
    return count
