"""
How long the pages of `safeconsole serve` take: `python -m benchmarks.serve [--sessions 100000] [--database URL]`.

Writes the lines of as many sessions into a central database (a SQLite file of its own unless one is named), reads
them into the index, and asks each page as a browser does, over HTTP. Prints a line a page: milliseconds in the
median, of the slowest of twenty, and the load of the machine meanwhile.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Engine, insert

from safeconsole.approvals.request_database import DatabaseMailbox
from safeconsole.audit.central import ENTRIES, open_database
from safeconsole.audit.central_archive import CentralArchive
from safeconsole.audit.host_log import Anchor, AnchorEvent
from safeconsole.audit.index import Indexer
from safeconsole.audit.index_tables import make_tables
from safeconsole.audit.record import (
    GENESIS,
    Asked,
    Decided,
    ElevationChanged,
    Ended,
    Entry,
    Intent,
    Record,
    SessionClosed,
    SessionOpened,
    sealed_line,
)
from safeconsole.clock import SystemClock
from safeconsole.config.settings import ServeSettings, SignInSettings
from safeconsole.web.approving import Approving
from safeconsole.web.server import PageServer
from safeconsole.web.sign_in import ProvenName, Provider
from safeconsole.web.team import COOKIE, SignIns, TeamDesk, respond

PEOPLE, CLUSTERS, TABLES = 200, 40, 300
BATCH = 4_000
BEGAN_EPOCH = 1_793_000_000
SECONDS_BETWEEN = 30
LONG_SESSION, LONG_STATEMENTS = "long", 4_000
ROUNDS = 20

GUARDS = {f"guard_{number}": "1000" for number in range(6)}
FACTS = {f"stmt.fact_{number}": "value" for number in range(12)}
LIMITS = {"run_seconds": 30.0, "fetched_rows": 10_000.0}


def moment(epoch: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(epoch)) + f".{int(epoch % 1 * 1e6):06d}Z"


def records(rng: random.Random, number: int, statements: int) -> Iterator[Record]:
    """What one session writes: most only read, one in ten elevates, one in twenty is refused something."""
    person, cluster = f"person{rng.randrange(PEOPLE)}", f"cluster{rng.randrange(CLUSTERS)}"
    yield SessionOpened(
        person=person, login=person, groups=("eng",), host=f"laptop{number % 500}", origin="", agent="", face="sql",
        cluster=cluster, environment="production", policy="baseline", policy_hash="c0ffee", program="safeconsole",
    )  # fmt: skip
    elevates, refused = rng.random() < 0.1, rng.random() < 0.05
    if elevates:
        yield ElevationChanged(
            id=f"e{number}", state="granted", event="granted", scope="statement", cluster=cluster, reason="stuck",
            ticket=f"INC-{number}", digest="d" * 64, server="s", window_seconds=900.0,
        )  # fmt: skip
    for at in range(1, statements + 1):
        table = f"shop.table{rng.randrange(TABLES)}"
        change = elevates and at == 1
        sql = f"UPDATE {table} SET status = 'open' WHERE id = {rng.randrange(10**6)}" if change else (
            f"SELECT id, status, total FROM {table} WHERE customer_id = {rng.randrange(10**6)} LIMIT 50"
        )  # fmt: skip
        deny = refused and at == statements
        yield Asked(
            statement=at, sql=sql, digest="d" * 64, kind="update" if change else "select",
            effects=("write",) if change else ("read",), tables=(table,), hazards=(),
        )  # fmt: skip
        verdict = "elevate" if change else "deny" if deny else "allow"
        yield Decided(
            statement=at, verdict=verdict, rules=("secrets" if deny else "read-on-replica",), policy="baseline@c0ffee",
            route="replica", node="replica-1", server="s", facts=FACTS, limits=LIMITS, message="",
        )  # fmt: skip
        if deny:
            yield Ended(statement=at, outcome="refused", message="it reads secrets")
            continue
        yield Intent(
            statement=at, sql=sql, digest="d" * 64, node="replica-1", server="s", role="replica", account="read",
            read_only=not change, guards=GUARDS, limits=LIMITS, elevation=f"e{number}" if change else "",
        )  # fmt: skip
        yield Ended(statement=at, outcome="done", rows=50, changed_rows=int(change), elapsed_seconds=0.012)
    yield SessionClosed(statements=statements)


def lines(sessions: int) -> Iterator[dict[str, object]]:
    """Yield the rows of a central database: host logs' and sessions', each chained as consoles write them."""
    rng = random.Random(22)
    logs: dict[str, tuple[int, str]] = {}

    def anchor(event: AnchorEvent, session: str, epoch: float, count: int = 0, head: str = "") -> dict[str, object]:
        stream = f"host-{int(epoch) % 500:012d}"
        number, previous = logs.get(stream, (0, GENESIS))
        made = Anchor(
            version=1, number=number, time=moment(epoch), event=event, session=session, count=count, head=head,
            previous=previous,
        )  # fmt: skip
        line, digest = sealed_line(made)
        logs[stream] = number + 1, digest
        return row(stream, number, made.time, event.value, digest, line)

    for number in range(sessions):
        long = number == sessions // 2
        session = LONG_SESSION if long else f"{number:012x}"
        # The same host log for the beginning and the end.
        began = float(BEGAN_EPOCH + number * SECONDS_BETWEEN)
        opening = anchor(AnchorEvent.OPENED, session, began)
        yield opening
        previous, count = str(opening["hash"]), 0
        for record in records(rng, number, LONG_STATEMENTS if long else rng.randrange(1, 4)):
            entry = Entry(
                version=1, session=session, number=count, time=moment(began + count / 1000),
                offset_seconds=count / 1000, previous=previous, record=record,
            )  # fmt: skip
            line, previous = sealed_line(entry)
            yield row(session, count, entry.time, type(record).__name__.lower(), previous, line)
            count += 1
        yield anchor(AnchorEvent.CLOSED, session, began, count, previous)


def row(stream: str, number: int, at: str, kind: str, digest: str, line: bytes) -> dict[str, object]:
    return {"stream": stream, "number": number, "time": at, "kind": kind, "hash": digest, "line": line.decode()}


def fill(engine: Engine, sessions: int) -> int:
    """Write the lines of sessions into an empty central database, and return how many."""
    make_tables(engine)
    batch: list[dict[str, object]] = []
    count = 0
    for one in lines(sessions):
        batch.append(one)
        count += 1
        if len(batch) == BATCH:
            with engine.begin() as connection:
                connection.execute(insert(ENTRIES), batch)
            batch = []
    with engine.begin() as connection:
        connection.execute(insert(ENTRIES), batch)
    return count


def index(engine: Engine) -> int:
    """Read everything into the index, and return how many lines."""
    indexer = Indexer(engine)
    count = indexer.step()
    while indexer.waiting:
        count += indexer.step()
    return count


def targets(sessions: int) -> dict[str, str]:
    """The pages, by what they are."""
    middle = moment(BEGAN_EPOCH + sessions // 2 * SECONDS_BETWEEN)
    deep = quote(f"{middle}~~0")
    return {
        "queue": "/",
        "queue, from the middle": f"/?before={deep}",
        "queue of a person": "/?person=person7",
        "all sessions": "/?state=all",
        "all sessions, from the middle": f"/?state=all&before={deep}",
        "all sessions of a person": "/?state=all&person=person7",
        "all sessions of a cluster": "/?state=all&cluster=cluster3",
        "a session": f"/sessions/{sessions // 2 - 1:012x}",
        "a session of 4,000 statements": f"/sessions/{LONG_SESSION}",
        "timeline": "/timeline",
        "timeline of a cluster, from the middle": f"/timeline?cluster=cluster3&before={deep}",
        "search by ticket": f"/search?ticket=INC-{sessions // 3}",
        "search by person and outcome": "/search?person=person7&outcome=refused",
        "search by table": "/search?table=shop.table7",
        "search for a text that is nowhere": "/search?text=nowhere+to+be+found",
        "search for a text, of a person": "/search?text=customer_id&person=person7",
        "approvals": "/approvals",
    }


@contextmanager
def served(engine: Engine) -> Iterator[tuple[PageServer, dict[str, str]]]:
    """Serve the pages to somebody who is signed in; yields the server and the headers of a request."""
    server = PageServer(threads=8)
    url = f"http://localhost:{server.server_address[1]}/"
    settings = ServeSettings(
        url=url, roles={"reviewer": ("eng",)}, sign_in=SignInSettings(issuer="https://sso.example", client_id="c")
    )
    sign_ins = SignIns(settings)
    desk = TeamDesk(
        settings=settings,
        archive=CentralArchive(engine, SystemClock()),
        provider=Provider(settings.sign_in, redirect=f"{url}signed-in", secret=""),
        sign_ins=sign_ins,
        approving=Approving(settings=settings, mailbox=DatabaseMailbox(engine, "here")),
        behind=lambda: "",
    )
    server.answer = partial(respond, desk=desk)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    cookie = sign_ins.add(ProvenName(name="reviewer", groups=frozenset({"eng"})))
    try:
        yield server, {"Host": f"localhost:{server.server_address[1]}", "Cookie": f"{COOKIE}={cookie}"}
    finally:
        server.shutdown()
        server.server_close()


def seconds_of(server: PageServer, headers: dict[str, str], target: str) -> tuple[float, str]:
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    connection.request("GET", target, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{target}: {answer.status} {text[:300]}")
    return time.perf_counter() - began, text


def measured(engine: Engine, sessions: int, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Return the seconds of each page, asked again and again."""
    found: dict[str, list[float]] = {}
    with served(engine) as (server, headers):
        for name, target in targets(sessions).items():
            found[name] = [seconds_of(server, headers, target)[0] for _ in range(rounds)]
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--sessions", type=int, default=100_000)
    asked.add_argument("--database", default="", metavar="URL", help="An empty database; else a SQLite file.")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as place:
        url = given.database or f"sqlite:///{Path(place, 'central.db')}"
        engine, made = open_database(
            url, setting="serve.database", secret_variable="", environ={}, example="", keeps=True
        )
        began = time.perf_counter()
        count = fill(engine, given.sessions)
        filled = time.perf_counter()
        index(engine)
        indexed = time.perf_counter()
        if made.get_backend_name() == "postgresql":
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("ANALYZE")
        print(
            f"{made.get_backend_name()}: {given.sessions:,} sessions, {count:,} lines written in {filled - began:.0f} s"
        )
        print(f"read into the index in {indexed - filled:.0f} s ({count / (indexed - filled):,.0f} a second)\n")
        print("| page | median ms | slowest ms |\n|---|---|---|")
        for name, seconds in measured(engine, given.sessions).items():
            print(f"| {name} | {statistics.median(seconds) * 1000:.0f} | {max(seconds) * 1000:.0f} |")
        print(f"\nload of the machine while measuring: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        engine.dispose()


if __name__ == "__main__":
    main()
