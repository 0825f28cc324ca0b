"""`capacity` as it is typed, on a cluster of its own: every view, every format, and what goes wrong."""

import gzip
import io
import json
import os
import subprocess
import sys
import time

import pytest

from safeconsole.demo.stage import staged
from safeconsole.app import Program, run
from safeconsole.cli.capacity import capacity_command
from safeconsole.cli.application import Door
from safeconsole.cli.capacity import Work
from safeconsole.output.confirming import NoTerminal
from safeconsole.output.text import FORMATS
from safeconsole.output.presenting import Screen
from safeconsole.errors import ConfigurationError


@pytest.fixture(scope="module")
def stage():
    with staged("embedded") as up:
        # A replica that has just been made is not fit before it has followed for a moment.
        until = time.monotonic() + 30
        while run(["--config", str(up.config), "topology", "shop", "--format", "json"], dict(os.environ)):
            assert time.monotonic() < until
            time.sleep(0.1)
        yield up


@pytest.fixture
def typed(stage, tmp_path, capfd):
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}

    def type_it(*arguments):
        capfd.readouterr()
        code = run(["--config", str(stage.config), "capacity", "shop", *arguments], environ)
        out, err = capfd.readouterr()
        return code, out, err

    return type_it


def test_three_at_the_same_time_each_get_their_report(stage, tmp_path):
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    command = [sys.executable, "-m", "safeconsole", "--config", str(stage.config), "capacity", "shop", "--top", "0"]
    running = [
        subprocess.Popen(
            [*command, "--format", "json"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    answers = [(*each.communicate(timeout=60), each.returncode) for each in running]
    assert [code for *_, code in answers] == [0, 0, 0], answers
    assert len({out for out, *_ in answers}) == 1
    assert len(list((tmp_path / "state").rglob("*.jsonl.gz"))) == 3
    assert not [*(tmp_path / "state").rglob("*.draft"), *(tmp_path / "state").rglob("*.partial")]


def test_the_largest_tables_come_first_and_the_rest_of_the_message_goes_to_stderr(typed):
    code, out, err = typed("--top", "3")
    assert code == 0
    lines = out.splitlines()
    assert lines[1] == "  # data, = indexes"
    assert [line.split()[0] for line in lines[2:]] == [
        "main.order_items",
        "main.orders",
        "main.lhma_2023_11_07_11_49_00_000_orders",
    ]
    assert "shop: " in err
    assert "11 tables in 1 schema, estimates from the highest rowid" in err
    assert "note: " in err
    assert "safeconsole capacity shop --leftovers" in err


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_written(typed, form):
    code, out, _ = typed("--format", form, "--top", "2", "--schema", "main")
    assert code == 0
    assert "order_items" in out
    assert "products" not in out


def test_estimates_of_the_embedded_engine_are_near_what_the_files_pages_say(typed, stage):
    import sqlite3

    _, out, _ = typed("--format", "jsonl", "--top", "0")
    found = {row["table"]: row["total_bytes"] for row in map(json.loads, out.splitlines())}
    connection = sqlite3.connect(stage.nodes[0])
    try:
        rows = connection.execute(
            "SELECT COALESCE(m.tbl_name, d.name), SUM(d.pgsize) FROM dbstat d LEFT JOIN sqlite_schema m ON m.name = d.name GROUP BY 1"
        ).fetchall()
    except sqlite3.OperationalError:
        pytest.skip("this Python's sqlite has no dbstat to compare with")
    finally:
        connection.close()
    pages = dict(rows)
    for name in ("orders", "order_items", "customers"):
        assert found[name] == pytest.approx(pages[name], rel=0.35)
    assert set(found) == set(pages) - {"sqlite_schema", "sqlite_sequence"}


def test_leftovers_are_found_and_those_of_unknown_quiet_are_not_called_abandoned(typed):
    code, out, _ = typed("--leftovers", "--format", "json")
    found = {row["table"]: row for row in json.loads(out)}
    assert code == 0
    assert len(found) == 7
    assert found["lhma_2023_11_07_11_49_00_000_orders"]["state"] == "abandoned"
    assert found["_orders_gho"] | {"tool": "gh-ost", "base": "orders", "state": "unclear"} == found["_orders_gho"]


def test_the_plan_is_printed_and_nothing_of_it_is_run(typed):
    code, out, _ = typed("--plan")
    assert code == 0
    assert "DROP TABLE `main`.`zz_drop_lhma_2023_11_07_11_49_00_000_orders`;" in out
    assert len(json.loads(typed("--format", "json", "--top", "0")[1])) == 11


def test_growth_needs_an_earlier_report_and_says_so(typed):
    code, _, err = typed("--since", "7d")
    assert code == 2
    assert "no earlier capacity report of shop" in err
    code, out, _ = typed("--since", "7d")
    assert code == 0
    assert "0 tables changed" in out


def test_what_is_left_out_of_a_view_is_still_counted_in_its_title_and_its_parts(typed):
    _, all_of_it, _ = typed("--leftovers")
    _, out, err = typed("--leftovers", "--top", "1")
    assert out.splitlines()[0] == all_of_it.splitlines()[0]
    assert out.startswith("7 leftovers")
    assert "6 more: --top 0 shows all" in err


def test_a_schemas_part_is_of_all_schemas(stage, tmp_path, capfd):
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    run(["--config", str(stage.config), "capacity", "shop"], environ)
    (kept,) = (tmp_path / "state").rglob("*.gz")
    lines = gzip.decompress(kept.read_bytes()).decode().splitlines()
    halves = '["page", [["a", "t", 1, 3000000, 0, ""], ["b", "t", 1, 1000000, 0, ""]]]'
    kept.write_bytes(gzip.compress("\n".join((lines[0], halves, lines[-1])).encode()))
    capfd.readouterr()
    run(["--config", str(stage.config), "capacity", "shop", "--last", "--by", "schema", "--top", "1"], environ)
    assert "75 %, 1 table" in capfd.readouterr().out


def test_a_team_sees_what_grew_since_a_colleagues_report(stage, tmp_path, capfd):
    config = tmp_path / "config.toml"
    config.write_text(f'{stage.config.read_text()}\n[capacity]\nreports = "sqlite:///{tmp_path}/team.db"\n')
    config.chmod(0o600)

    def as_person(name, *arguments):
        environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path / name)}
        code = run(["--config", str(config), "capacity", "shop", *arguments], environ)
        return code, *capfd.readouterr()

    assert as_person("ada")[0] == 0
    code, out, err = as_person("grace", "--since", "7d")
    assert (code, "0 tables changed" in out) == (0, True), err
    assert as_person("linus", "--last", "--format", "csv")[1].count("\n") > 10
    assert not list(tmp_path.rglob("*.gz"))
    assert not list(tmp_path.rglob("*.draft"))


def test_the_last_report_is_shown_without_asking(typed):
    code, _, err = typed("--last")
    assert code == 2
    assert "no capacity report" in err
    typed()
    code, out, _ = typed("--last", "--by", "schema", "--format", "csv")
    assert code == 0
    assert out.splitlines()[1].startswith("main,11,")


def test_a_treemap_is_written_beside_the_rows(typed, tmp_path):
    code, _, err = typed("--html", str(tmp_path / "map.html"))
    assert code == 0
    assert "order_items" in (tmp_path / "map.html").read_text(encoding="utf-8")
    assert f"treemap: {tmp_path / 'map.html'}" in err
    assert typed("--html", str(tmp_path / "no" / "map.html"))[0] == 2


@pytest.mark.parametrize(
    "options", [("--verify", "3", "--leftovers"), ("--last", "--verify", "3"), ("--top", "-1"), ("--since", "soon")]
)
def test_options_that_mean_nothing_are_refused(typed, options):
    assert typed(*options)[0] == 2


def test_what_has_no_witness_says_so(typed):
    code, out, _ = typed("--verify", "2", "--format", "json")
    assert code == 0
    assert all(row["found_bytes"] is None and "without reading its pages" in row["note"] for row in json.loads(out))


def test_the_journal_holds_every_statement_as_the_tools_own(typed, stage):
    typed()
    written = [path.read_text(errors="replace") for path in (stage.config.parent / "audit").rglob("*.jsonl")]
    asked = [line for text in written for line in text.splitlines() if '"asked"' in line and "sqlite_schema" in line]
    assert asked
    assert all('"by_console":true' in line for line in asked)


def test_the_console_runs_it_on_its_own_session(stage, tmp_path, capfd):
    program = Program({**os.environ, "XDG_STATE_HOME": str(tmp_path)})
    program.configure(str(stage.config))
    with program.open(Door(person=program.person, cluster="shop", face="sql", confirmer=NoTerminal())) as session:
        command = capacity_command(program, session)
        command("--top 1 --pattern 'order*'")
        assert "main.order_items" in capfd.readouterr().out
        for wrong in ("--nonsense", "--top x", "'unclosed", "--leftovers --verify 3"):
            with pytest.raises(ConfigurationError):
                command(wrong)


def test_a_name_in_a_note_cannot_drive_the_terminal():
    screen = Screen(data=io.StringIO(), messages=io.StringIO())
    Work(opened=None, asker=None, shelf=None, screen=screen, wish=None, leftovers={}).say("not seen: a\x1b[2Jb")
    assert screen.messages.getvalue() == "not seen: a\\x1b[2Jb\n"
