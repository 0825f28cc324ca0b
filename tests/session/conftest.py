"""One session on a cluster in memory, under a policy small enough to read."""

from msgspec.structs import replace

import pytest

from safeconsole.config.identity import Person
from safeconsole.policy.document import policy_from_document
from safeconsole.session.context import Justification, SessionContext
from safeconsole.session.context import People
from safeconsole.session.session import Session
from tests.harness.fakes import FakeClock, FakeConfirmer, FakeEngine, FakeJournal, FakeFace, three_nodes

RULES = [
    {"id": "reads", "when": "stmt.effects.all(each, each in ['read', 'session'])", "then": "allow"},
    {"id": "asked", "when": "'shop.asked' in stmt.tables", "then": "confirm", "message": "this is asked about"},
    {"id": "held", "when": "'shop.held' in stmt.tables", "then": "elevate", "message": "this is held"},
    {"id": "closed", "when": "'shop.closed' in stmt.tables", "then": "deny", "message": "this is closed"},
    {"id": "writes", "when": "'write' in stmt.effects", "then": "elevate", "message": "this writes"},
    {
        "id": "rest",
        "when": "stmt.effects.exists(each, each in ['ddl', 'admin', 'lock', 'unknown'])",
        "then": "elevate",
        "message": "this is no read",
    },
]
PERSON = Person(name="ada", login="ada", groups=(), host="laptop", terminal=True)
READ = "SELECT id FROM orders"
ASKED = "SELECT id FROM asked"
HELD = "SELECT id FROM held"
CLOSED = "SELECT id FROM closed"
WRITE = "UPDATE orders SET status = 'paid' WHERE id = 1"
OTHER_WRITE = "DELETE FROM orders WHERE id = 1"
JUSTIFICATION = Justification(reason="incident 7", ticket="OPS-7")


def policy_of(**document):
    return policy_from_document("mine", {"rules": RULES, **document}, source="mine.yaml", text_hash="ab" * 32, lines={})


class Walk:
    """One session and everything beside it; what happens goes into `events` in order."""

    def __init__(self, *, policy=None, nodes=None, journal=None, second=None, **context):
        self.events = []
        self.clock = FakeClock()
        self.journal = journal or FakeJournal(self.events)
        self.engine = FakeEngine(self.clock, self.events, nodes=nodes or three_nodes())
        self.confirmer = FakeConfirmer(self.events)
        self.context = replace(
            SessionContext(cluster="shop", environment="staging", face="sql", person=PERSON, schema="shop"), **context
        )
        self.gate = Session(
            context=self.context,
            policy=policy or policy_of(),
            engine=self.engine,
            journal=self.journal,
            clock=self.clock,
            people=People(confirmer=self.confirmer, second=second),
        )

    def run(self, text, face=None, **how):
        (statement,) = self.gate.split(text)
        return (face or FakeFace(self.events)).run(self.gate, statement, **how)

    def answers(self, *answers):
        self.confirmer.answers += answers

    def elevate(self, **how):
        self.answers(True)
        return self.gate.elevate(reason="incident 7", **how)

    def happened(self):
        """What happened, by name; records by their tag."""
        return [f"{event[0]} {_tag(event[1])}".strip() if event[1:] else event[0] for event in self.events]

    def sent(self):
        """The texts that were sent, each with its node and account."""
        return [
            (event[1].statement.text, event[1].node, event[1].account.value)
            for event in self.events
            if event[0] == "sent"
        ]

    def records(self, tag=""):
        return [record for record in self.journal.records if not tag or _tag(record) == tag]

    def elevation_events(self):
        return [record.event for record in self.records("elevation")]

    def open_connections(self):
        return [(each.node.name, each.account.value) for each in self.engine.connections if not each.broken]


def _tag(value):
    tag = getattr(getattr(value, "__struct_config__", None), "tag", None)
    return tag or (value if isinstance(value, str) else "")


@pytest.fixture
def walk():
    return Walk
