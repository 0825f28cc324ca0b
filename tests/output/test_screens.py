"""Screens as a person sees them at 80, 100 and 140 columns, as golden texts; no line is wider than its screen."""

import io

import pytest
from msgspec.structs import replace

from safeconsole.audit.narrative import narrate
from safeconsole.cli import audit, clusters, rows
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
from tests.audit.test_story import OPENED, asked, decided, ended, entries, intent
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
    reads_at="replica-1", reads_role="replica",
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

GUARDS = {
    "autocommit": "1", "charset": "utf8mb4,utf8mb4,utf8mb4", "completion_type": "NO_CHAIN", "end_markers_in_json": "0",
    "explain_json_format_version": "1", "foreign_key_checks": "1", "information_schema_stats_expiry": "0",
    "innodb_lock_wait_timeout": "2", "lc_messages": "en_US", "lock_wait_timeout": "2", "max_execution_time": "30000",
    "max_heap_table_size": "16777216", "max_sort_length": "1024", "net_write_timeout": "30", "sql_auto_is_null": "0",
    "sql_mode": "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_ENGINE_SUBSTITUTION", "sql_notes": "1", "sql_quote_show_create": "1", "sql_select_limit": "18446744073709551615",
    "tmp_table_size": "16777216", "transaction_isolation": "REPEATABLE-READ", "transaction_read_only": "1",
    "unique_checks": "1", "wait_timeout": "3600",
}  # fmt: skip
LIMITS = {
    "changed_rows": 100_000, "fetched_bytes": 67_108_864, "fetched_rows": 10_000, "grown_memory_bytes": 536_870_912,
    "lock_wait_seconds": 2, "opened_tables": 5_000, "run_seconds": 30, "session_memory_bytes": 268_435_456,
    "shown_rows": 1_000,
}  # fmt: skip


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


def test_a_session_of_fifteen_statements_fits_on_sixty_lines(golden, columns):
    records = [OPENED]
    for number in range(1, 16):
        permission = replace(decided(number), message="", rules=("reads-on-a-replica",), node="replica-1")
        sent = replace(intent(number), guards=GUARDS, limits=LIMITS, node="replica-1")
        sql = f"SELECT status FROM orders WHERE id = {number}"
        records += [asked(number, sql), permission, sent, ended(number, rows=1)]
    style = StreamStyle(columns=columns, terminal=True)
    lines = [line for passage in narrate(entries(*records)) for line in audit._passage_lines(passage, style)]
    assert sum(-(-width_of(line) // columns) for line in lines) <= 60
    # One value is wider than the narrow screens: it stays whole.
    fits("\n".join(line for line in lines if "sql_mode=" not in line), columns)
    golden(f"screen.audit-show.{columns}.txt", "\n".join(lines) + "\n")


def test_a_topology(golden, columns):
    golden(f"screen.topology.{columns}.txt", topology_text("shop", READINGS, Gates(), StreamStyle(columns=columns)))


def test_who_blocks_whom(golden, columns):
    golden(f"screen.locks.{columns}.txt", fits("\n".join(LOCKS.lines(columns, decorated=False)) + "\n", columns))


def test_a_status_and_its_prompt_fit_the_narrowest(golden):
    text = status_text(STATUS, "baseline@0123456789ab", "table")
    prompt = "".join(part for _, part in prompt_parts(STATUS)) + "\n"
    golden("screen.status.txt", fits(prompt + text, 80))
