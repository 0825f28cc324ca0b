"""What the seal covers: the gate, each of its parts, and the code that decides."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import safeconsole.session
from safeconsole.errors import RefusedError, StoppedError
from safeconsole.python.seal import _MOVING, Seal
from tests.python.conftest import ROOT, Console

BASELINE = ROOT / "policies" / "baseline.yaml"


def parts_of(gate):
    """The gate and every object of the road that hangs on it, with the path to it."""
    waiting, seen = [("gate", gate)], {}
    while waiting:
        path, part = waiting.pop()
        if id(part) in seen or not hasattr(part, "__dict__"):
            continue
        seen[id(part)] = (path, part)
        for name, value in vars(part).items():
            if type(value).__module__.startswith("safeconsole.session."):
                waiting.append((f"{path}.{name}", value))
    return list(seen.values())


@pytest.fixture
def seal(console):
    return Seal(console.session.gate, lambda: False)


def test_nothing_is_broken_while_nothing_is_touched(seal, console):
    console.db.sql("SELECT 1")
    assert seal.broken() == ""


def test_a_slow_statement_breaks_nothing(seal, console):
    with pytest.raises(StoppedError):
        console.line.gate.tighten("run_seconds", 1.5)
        console.db.sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")
    assert seal.broken() == ""


def test_a_write_a_refusal_and_a_transaction_break_nothing(console):
    with pytest.raises(RefusedError):
        console.db.sql("DELETE FROM orders")
    console.db.sql("SELECT id FROM orders WHERE id = 1")
    seal = console.line._seal
    with console.elevate():
        console.db.sql("UPDATE orders SET status = status WHERE id = 1")
        connection = console.db.connect()
        connection.cursor().execute("UPDATE orders SET status = status WHERE id = 1")
        assert seal.broken() == ""
        connection.rollback()
    console.db.use("primary")
    console.db.sql("SELECT 1")
    assert seal.broken() == ""


def test_a_policy_file_that_changes_breaks_nothing(shop, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(BASELINE.read_text())
    config = tmp_path / "config.toml"
    named = f"[clusters.shop]\npolicy = {json.dumps(str(policy))}"
    config.write_text(re.sub(r"^policy = .*\n", "", shop.read_text(), flags=re.M).replace("[clusters.shop]", named))
    config.chmod(0o600)
    console = Console(config)
    console.db.sql("SELECT 1")
    policy.write_text(f"{BASELINE.read_text()}\n# changed\n")
    console.db.sql("SELECT 1")
    assert "changed since this session began" in console.session.gate.last().notes[-1]
    console.db.sql("SELECT 1")
    console.close()


def test_a_replaced_part_of_any_part_breaks_it(seal, console):
    parts = parts_of(console.session.gate)
    assert {"gate", "gate._demands", "gate._considering", "gate._slots"} <= {path for path, _ in parts}
    for path, part in parts:
        for name, value in list(vars(part).items()):
            if not type(value).__module__.startswith("safeconsole.session.") or (type(part).__name__, name) in _MOVING:
                continue
            setattr(part, name, object())
            assert seal.broken(), f"{path}.{name}"
            setattr(part, name, value)
            assert seal.broken() == ""


def test_a_function_set_on_one_object_breaks_it(seal, console):
    gate = console.session.gate
    gate._record_decision = lambda *_: None
    assert "safeconsole.session.gate.Gate" in seal.broken()
    del gate._record_decision
    assert seal.broken() == ""


def test_an_entry_put_into_a_table_breaks_it(seal):
    from safeconsole.sqltext.kinds import FAMILY_KINDS

    kinds = dict(FAMILY_KINDS)
    FAMILY_KINDS["DELETE",] = FAMILY_KINDS["SELECT",]
    assert seal.broken() == "the table safeconsole.sqltext.kinds.FAMILY_KINDS was changed"
    FAMILY_KINDS.update(kinds)
    assert seal.broken() == ""


def test_what_calls_itself_equal_is_noticed_at_a_thorough_look(seal, console):
    class Alike:
        def __eq__(self, other):
            return True

        __hash__ = None

    gate = console.session.gate
    demands, gate._demands = gate._demands, Alike()
    assert seal.broken(thoroughly=False) == ""
    assert seal.broken() == "an object of safeconsole.session.gate.Gate was changed"
    gate._demands = demands


def test_every_module_of_the_road_is_sealed(console):
    for file in Path(safeconsole.session.__file__).parent.glob("[a-z]*.py"):
        module = sys.modules.get(f"safeconsole.session.{file.stem}")
        names = [name for name, value in vars(module).items() if _is_its_own(value, module)] if module else []
        for name in names:
            seal, value = Seal(console.session.gate, lambda: False), getattr(module, name)
            setattr(module, name, type("Other", (), {}))
            assert seal.broken(), f"{module.__name__}.{name}"
            setattr(module, name, value)


def _is_its_own(value, module):
    return callable(value) and getattr(value, "__module__", "") == module.__name__


def test_what_the_console_loads_late_is_sealed_too():
    """In a process of its own: here, other tests loaded it already."""
    told = subprocess.run(
        [sys.executable, "-c", "from safeconsole.python.seal import Seal\n"
         "seal = Seal(object(), lambda: False)\nfrom safeconsole.python import fences\n"
         "fences._LOOKS.clear()\nclass Gate: is_elevated = False\nseal._gate = Gate\nprint(seal.broken())"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout == "the table safeconsole.python.fences._LOOKS was changed\n"
