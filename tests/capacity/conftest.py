"""A job on the real road: the real gate and the shipped policy, over a cluster in memory that holds statistics."""

import datetime as dt
import re
from msgspec.structs import replace

import pytest

from safeconsole.config.policies import PolicyFiles
from safeconsole.capacity.shelf import FileShelf
from safeconsole.config.identity import Person
from safeconsole.session.context import SessionContext
from safeconsole.session.session import Session
from safeconsole.session.context import People
from safeconsole.capacity.asking import Asker
from safeconsole.capacity.survey import survey
from safeconsole.capacity.asking import Conduct
from tests.harness.fakes import RULES, FakeClock, FakeConfirmer, FakeEngine, FakeJournal, Planned, three_nodes

PERSON = Person(name="ada", login="ada", groups=(), host="laptop", terminal=False)
SERVER_TIME = "2026-01-31 12:00:00"
PAGE_BYTES = 16_384
_LITERAL = re.compile(r"'((?:[^'\\]|''|\\.)*)'")


def _unquoted(text):
    return text.replace("''", "'").replace("\\\\", "\\")


class Statistics:
    """
    Answers as a server with these statistics would.

    Attributes:
        rows: (schema, name) to (rows, data pages, index pages, updated).
        others: text to `Planned` for what is no page.
        faults: number of the page, counted from 1, to the exception that it ends with instead.
        pages: the texts of the pages asked for.
    """

    def __init__(self, rows):
        self.rows = dict(rows)
        self.others, self.faults, self.pages = {}, {}, []

    def get(self, text, default):
        if text.startswith("SELECT @@innodb_page_size"):
            return Planned(batches=([(PAGE_BYTES, SERVER_TIME)],))
        if "mysql.innodb_table_stats" in text and text not in self.others:
            self.pages.append(text)
            fault = self.faults.pop(len(self.pages), None)
            if fault is not None:
                return Planned(refusal=fault)
            found = self._page(text)
            return Planned(batches=(found,) if found else ([],))
        return self.others.get(text, Planned(batches=([],)))

    def _page(self, text):
        literals = [_unquoted(found) for found in _LITERAL.findall(text)]
        most = int(text.rsplit(" ", 1)[1])
        if " OR " in text:
            schema, name, beyond = literals
            assert schema == beyond
            wanted = [key for key in self.rows if (key[0] == schema and key[1] > name) or key[0] > schema]
        else:
            schema, name = literals
            wanted = [key for key in self.rows if key[0] == schema and key[1] > name]
        return [(*key, *self.rows[key]) for key in sorted(wanted)[:most]]


class Bench:
    """One session of a job and everything beside it."""

    def __init__(self, directory, rows, *, policy="baseline", nodes=None, engine_rules=RULES, **context):
        self.events, self.clock = [], FakeClock()
        self.statistics = Statistics(rows)
        self.engine = FakeEngine(
            self.clock, self.events, nodes=nodes or three_nodes(), answers=self.statistics, rules=engine_rules
        )
        for node in self.engine.nodes:
            node.rules = engine_rules
        self.confirmer = FakeConfirmer(self.events)
        self.journal = FakeJournal(self.events)
        self.session = Session(
            context=replace(
                SessionContext(cluster="shop", environment="production", face="job", person=PERSON), **context
            ),
            policy=PolicyFiles().load(policy),
            engine=self.engine,
            journal=self.journal,
            clock=self.clock,
            people=People(confirmer=self.confirmer),
        )
        self.asker = Asker(session=self.session, rules=lambda: engine_rules, seconds=self.clock.monotonic)
        self.directory, self.shelf = directory, FileShelf(directory)
        self.rests, self.progress = [], []
        self.now = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
        self.conduct = Conduct(watcher=self, rest=self.rest, utc=lambda: self.now)

    def show(self, progress):
        self.progress.append(progress)

    def rest(self, seconds):
        self.rests.append(seconds)
        self.clock.seconds += seconds
        self.now += dt.timedelta(seconds=seconds)

    def survey(self, **how):
        return survey(self.asker, self.shelf, self.conduct, **how)

    def sent(self):
        return [event[1] for event in self.events if event[0] == "sent"]


def many(count, *, per_schema=100):
    """Statistics of so many tables."""
    return {
        (f"shop{n // per_schema:04d}", f"t{n:05d}"): (n, 1 + n % 7, n % 3, "2026-01-30 12:00:00") for n in range(count)
    }


@pytest.fixture
def bench(tmp_path):
    def make(rows, **how):
        return Bench(tmp_path / "capacity", rows, **how)

    return make
