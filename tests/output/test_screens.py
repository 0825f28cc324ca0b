"""Screens as a person sees them at 80, 100 and 140 columns, as golden texts; no line is wider than its screen."""

import io

import pytest
from msgspec.structs import replace

from safeconsole.cli import clusters, rows
from safeconsole.cluster.engine import Column
from safeconsole.console.incident import Sheet
from safeconsole.console.prompt import prompt_parts, status_text
from safeconsole.doctor import Check, CheckResult
from safeconsole.output.evidence import topology_text
from safeconsole.output.formats import writer_for
from safeconsole.output.text import StreamStyle, width_of
from safeconsole.policy.limits import Limits
from safeconsole.policy.readings import Gates
from safeconsole.session.context import Status
from tests.output.test_topology_text import READINGS

WIDTHS = (80, 100, 140)
GOOD, ADVICE, WRONG = CheckResult.GOOD, CheckResult.ADVICE, CheckResult.WRONG
CHECKS = (
    Check(
        where="cluster", what="elevated account", finding=WRONG,
        detail="shop_app: it may GRANT, and whoever elevates could give themselves anything",
        remedy="REVOKE GRANT OPTION ON *.* FROM 'shop_app'@'%'",
    ),
    Check(
        where="replica-1", what="performance_schema", finding=ADVICE, detail="it is off, so memory is not watched",
        remedy="performance_schema=ON in my.cnf, then a restart",
    ),
    Check(
        where="replica-2", what="performance_schema", finding=ADVICE, detail="it is off, so memory is not watched",
        remedy="performance_schema=ON in my.cnf, then a restart",
    ),
    *(Check(where=node, what=what, finding=GOOD, detail="as it should be")
      for node in ("primary", "replica-1", "replica-2") for what in ("role", "privileges", "read_only", "time limits")),
)  # fmt: skip
STATUS = Status(
    cluster="shop", environment="production", node="replica-1", role="replica", schema="shop", elevated_seconds=872.0,
    limits=Limits(run_seconds=30, fetched_rows=10_000, shown_rows=1_000, changed_rows=100_000), to="",
)  # fmt: skip
LOCKS = Sheet(
    heads=("id", "user", "host", "schema", "age", "blocks", "waits for"),
    rows=[
        (811, "shop_app", "10.0.0.31", "shop", "2:14", 3, None),
        (902, "shop_app", "10.0.0.32", "shop", "0:41", 0, "record lock on orders.PRIMARY"),
    ],
    texts=["", "UPDATE orders SET status = 'paid', paid_at = NOW() WHERE id = 7 AND status = 'new'"],
)
SESSIONS = [
    (f"20261201-0{hour}0102-ab12cd", "ada@laptop", "shop", "sql", f"{hour}:14", "12 read, 1 write", what)
    for hour, what in (
        (3, ""), (4, "elevated: stuck payments INC-7; the primary was asked for the sizes of all tables, and it was refused"))
]  # fmt: skip


def told(style, *, decorated):
    return replace(style, decorated=decorated, terminal=True)


@pytest.fixture(params=WIDTHS)
def columns(request):
    return request.param


def fits(text, columns):
    assert max(map(width_of, text.splitlines())) <= columns
    return text


def written(name, columns, heads, held):
    stream = io.StringIO()
    writer = writer_for(name, heads, stream, StreamStyle(columns=columns, terminal=True))
    writer.rows(held)
    writer.end()
    return stream.getvalue()


HEADS = [
    Column(name="id", numeric=True),
    Column(name="status"),
    Column(name="note"),
    Column(name="total", numeric=True),
]


def test_a_table_and_one_that_is_too_wide(golden, columns):
    held = [(1, "new", "x" * 40, "12.50"), (2, None, "ÿ\x1b[2J\n€ 漢字", "-0.01"), (1000, "paid", "", "99999.00")]
    wide = [(*row[:2], f"{row[2]} {'and more ' * 6}", row[3]) for row in held]
    golden(
        f"screen.table.{columns}.txt", written("table", columns, HEADS, held) + written("table", columns, HEADS, wide)
    )


def test_a_doctors_report(golden, columns):
    text = "".join(f"{line}\n" for line in clusters._report(list(CHECKS)))
    golden(f"screen.doctor.{columns}.txt", text)


def test_a_list_of_sessions_is_a_line_each(golden, columns, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(rows, "stream_style", lambda _stream, _environ: StreamStyle(columns=columns, terminal=True))
    rows.write_list(("session", "person", "cluster", "face", "time", "statements", "what"), SESSIONS, stream)
    text = fits(stream.getvalue(), columns)
    assert len(text.splitlines()) == 2 + len(SESSIONS)
    golden(f"screen.audit-list.{columns}.txt", text)


def test_a_topology(golden, columns):
    golden(f"screen.topology.{columns}.txt", topology_text("shop", READINGS, Gates(), StreamStyle(columns=columns)))


def test_who_blocks_whom(golden, columns):
    golden(f"screen.locks.{columns}.txt", fits("\n".join(LOCKS.lines(columns, decorated=False)) + "\n", columns))


def test_a_status_and_its_prompt_fit_the_narrowest(golden):
    text = status_text(STATUS, "baseline@0123456789ab", "table")
    prompt = "".join(part for _, part in prompt_parts(STATUS)) + "\n"
    golden("screen.status.txt", fits(prompt + text, 80))
