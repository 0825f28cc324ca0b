"""A clock that the test moves, and sessions worth reading."""

from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from safeconsole.audit.journal import open_journal
from safeconsole.audit.record import Asked, Decided, ElevationChanged, Ended, Intent, SessionClosed, SessionOpened


class HandClock:
    """Time that passes when somebody asks for it: a millisecond a look."""

    def __init__(self, start: float = 0.0) -> None:
        self.seconds = start

    def monotonic(self) -> float:
        self.seconds += 0.001
        return self.seconds

    def utc(self) -> str:
        self.seconds += 0.001
        moment = datetime(2026, 11, 7) + timedelta(microseconds=round(self.seconds * 1e6))
        return f"{moment.isoformat(timespec='microseconds')}Z"


OPENED = SessionOpened(
    person="ana",
    login="ops",
    groups=("dba",),
    host="laptop",
    origin="10.0.0.9",
    agent="",
    face="sql",
    cluster="shop",
    environment="production",
    policy="baseline",
    policy_hash="c0ffee",
    program="safeconsole 0.1",
)


def asked(number, sql="SELECT * FROM orders", kind="select", tables=("shop.orders",), **more):
    return Asked(
        statement=number, sql=sql, digest="d" * 64, kind=kind, effects=("read",), tables=tables, hazards=(), **more
    )


def decided(number, verdict="allow", rules=("read-on-replica",), message=""):
    return Decided(
        statement=number,
        verdict=verdict,
        rules=rules,
        policy="baseline@c0ffee",
        route="replica",
        node="replica-1",
        server="uuid-2",
        facts={"stmt.kind": "select"},
        limits={"run_seconds": 30.0},
        message=message,
    )


def intent(number, sql="SELECT * FROM orders", **more):
    told = {"node": "replica-1", "server": "uuid-2", "role": "replica", "account": "read", "read_only": True} | more
    return Intent(
        statement=number,
        sql=sql,
        digest="d" * 64,
        guards={"max_execution_time": "30000"},
        limits={"run_seconds": 30.0},
        **told,
    )


def ended(number, outcome="done", **more):
    return Ended(statement=number, outcome=outcome, **more)


def elevation(state="granted", **more):
    told = {"reason": "stuck orders", "ticket": "INC-7", "scope": "break-glass", "window_seconds": 900.0} | more
    return ElevationChanged(id="e1", state=state, event="self-approved", cluster="shop", digest="", server="", **told)


def write_session(directory: Path, clock, *, session=None, statements=3, close=True, elevated=False):
    """Write a whole session as the gate would, and return its journal."""
    journal = open_journal(directory, clock=clock, session=session)
    journal.append(OPENED)
    for number in range(1, statements + 1):
        journal.append(asked(number))
        journal.append(decided(number))
        if elevated and number == 1:
            journal.append(elevation(), durable=True)
        journal.append(intent(number, elevation="e1" if elevated and number == 1 else ""), durable=True)
        journal.append(ended(number, rows=5, elapsed_seconds=0.012))
    if close:
        journal.append(SessionClosed(statements=statements))
        journal.close()
    return journal


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "audit"


@pytest.fixture
def told():
    """The makers of records, for tests that write their own sessions."""
    return SimpleNamespace(
        OPENED=OPENED,
        asked=asked,
        decided=decided,
        intent=intent,
        ended=ended,
        elevation=elevation,
        write_session=write_session,
    )
