"""What the gate adds to one statement: the whole beside bare PyMySQL on the same server, and its parts."""

import functools
import io
import resource
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safeconsole.app import Program
from safeconsole.audit.journal import FileJournal
from safeconsole.cli.application import Door
from safeconsole.mysql.connection import MySqlConnection
from safeconsole.mysql.running import MySqlRunning
from safeconsole.mysql.watchdog import Watchdog
from safeconsole.output.confirming import NoTerminal
from safeconsole.output.presenting import ResultPrinter, ResultStyle, Screen
from safeconsole.session import deciding
from safeconsole.session.cache import Cache
from safeconsole.session.deciding import PoliciesInForce
from safeconsole.session.recorder import Recorder
from safeconsole.session.session import Session
from tests.harness.clusters import account_connect

SQL = "SELECT * FROM orders WHERE id = 1"
NEW = "SELECT *, 1 AS n{} FROM orders WHERE id = 1"
"""A statement of a shape of its own for each number."""

TIMES = 500
SESSION = 10_000
REST = "routing, evidence, permit, showing"

PARTS = (
    ("analysis", Cache, ("statements",)),
    ("decision: facts and rules", deciding, ("facts_of",)),
    ("decision: facts and rules", PoliciesInForce, ("judge",)),
    ("journal: four records", FileJournal, ("append",)),
    ("journal: redaction", Recorder, ("asked", "decided", "intent", "done")),
    ("watchdog: start and end of its two watches", Watchdog, ("watch", "finish")),
    ("estimate: the server's opinion and plan", MySqlConnection, ("estimate",)),
    ("proof: guards read back, bracket opened", MySqlConnection, ("_make_ready",)),
    ("bracket: its end", MySqlRunning, ("_close_bracket",)),
    ("the statement itself", MySqlRunning, ("send", "batches")),
    (REST, Session, ("execute",)),
)
"""Each part: its words, and the functions whose time is its own; time inside another part's is that part's."""


class Meter:
    """Adds up the time that each part takes of its own."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inner: list[float] = []

    def timed(self, part: str, function):
        """Return the function, measured as a part."""

        @functools.wraps(function)
        def measured(*given, **named):
            self._inner.append(0.0)
            started = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                took = time.perf_counter() - started
                self.seconds[part] += took - self._inner.pop()
                if self._inner:
                    self._inner[-1] += took

        return measured


@contextmanager
def metered(meter: Meter) -> Iterator[None]:
    """Measure the parts until the context ends."""
    before = [(owner, name, getattr(owner, name)) for _, owner, names in PARTS for name in names]
    for part, owner, names in PARTS:
        for name in names:
            setattr(owner, name, meter.timed(part, getattr(owner, name)))
    try:
        yield
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


@contextmanager
def road(commands, audit: Path) -> Iterator:
    """Open a session whose journal is in a directory, and give what walks one statement down the road."""
    text = commands.config.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=audit) as directory:
        config = Path(directory) / "config.toml"
        config.touch(mode=0o600)
        config.write_text(text.rpartition("directory = ")[0] + f'directory = "{directory}/audit"\n', encoding="utf-8")
        program = Program(commands.environ)
        program.configure(str(config))
        with program.open(
            Door(person=program.person, cluster="shop", face="one-shot", confirmer=NoTerminal())
        ) as session:

            def walk(sql: str = SQL) -> None:
                screen = Screen(data=io.StringIO(), messages=io.StringIO())
                for statement in session.session.split(sql):
                    printer = ResultPrinter(screen, ResultStyle(format="csv"), session.session.last)
                    printer.show(session.session.execute(statement, as_text=True))

            yield walk


def percentiles(times: list[float]) -> tuple[float, float]:
    """Return p10 and p50 in milliseconds: what a quiet machine would show, and what this one did."""
    ordered = sorted(times)
    return ordered[len(ordered) // 10] * 1000, statistics.median(ordered) * 1000


def clocked(act) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def road_figures(cluster, commands) -> list[str]:
    """Return the sections on the cost of safety."""
    connection = account_connect(cluster, cluster.replicas[0], "console_read")

    def bare() -> None:
        with connection.cursor() as cursor:
            cursor.execute(SQL)
            cursor.fetchall()

    with connection:
        # In memory a sync costs nothing.
        memory, disk = Path("/dev/shm"), commands.config.parent
        quick, parts, plain = _whole_and_parts(commands, memory, bare)
        durable, _, _ = _whole_and_parts(commands, disk, bare)
        new, beside = _new(commands, memory, bare)
        new_durable, _ = _new(commands, disk, bare)
    return [
        f"### What the gate adds to `{SQL}`",
        "",
        "| | p10, ms | p50, ms |",
        "|---|---:|---:|",
        *(
            _line(name, times)
            for name, times in (
                ("bare PyMySQL, the same server", plain),
                ("the road, journal in memory", quick),
                ("the road, journal on disk: one sync", durable),
                ("bare PyMySQL, between new statements", beside),
                ("the road, a new statement, journal in memory", new),
                ("the road, a new statement, journal on disk", new_durable),
            )
        ),
        "",
        "Its parts, journal in memory:",
        "",
        "| | p10, ms | p50, ms |",
        "|---|---:|---:|",
        *(_line(name, times) for name, times in sorted(parts.items(), key=lambda part: -percentiles(part[1])[0])),
        "",
        *_long_session(commands, memory),
    ]


def _line(name: str, times: list[float]) -> str:
    low, middle = percentiles(times)
    return f"| {name} | {low:.3f} | {middle:.3f} |"


def _new(commands, audit: Path, bare) -> tuple[list[float], list[float]]:
    """Return the times of statements that were not seen before, and of bare ones between them."""
    with road(commands, audit) as walk:
        walk()
        new, plain = [], []
        for number in range(TIMES):
            plain.append(clocked(bare))
            new.append(clocked(lambda number=number: walk(NEW.format(number))))
    return new, plain


def _whole_and_parts(commands, audit: Path, bare) -> tuple[list[float], dict[str, list[float]], list[float]]:
    with road(commands, audit) as walk:
        for _ in range(50):
            walk()
            bare()
        whole, plain = [], []
        for _ in range(TIMES):
            plain.append(clocked(bare))
            whole.append(clocked(walk))
        meter, parts = Meter(), {part: [] for part, _, _ in PARTS}
        with metered(meter):
            for _ in range(TIMES):
                meter.seconds.clear()
                walk()
                for part, times in parts.items():
                    # What a statement did without, it did for nothing: a plan that is known already, for one.
                    times.append(meter.seconds[part])
    return whole, parts, plain


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1024 / 1024


def _long_session(commands, audit: Path) -> list[str]:
    with road(commands, audit) as walk:
        times, memory = [], []
        for number in range(SESSION):
            times.append(clocked(walk))
            if number in {SESSION // 10 - 1, SESSION - 1}:
                memory.append(_resident_mb())
    tenth = SESSION // 10
    first, last = percentiles(times[:tenth]), percentiles(times[-tenth:])
    words = (
        f"A session of {SESSION:,} statements: p10 {first[0]:.2f} ms in the first tenth and {last[0]:.2f} ms in the"
        f" last; resident memory {memory[0]:.1f} MB after the first tenth and {memory[1]:.1f} MB at the end."
    )
    return [words, ""]
