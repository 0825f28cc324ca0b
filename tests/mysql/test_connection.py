"""A connection whose answer nobody waited for is not used again."""

import pytest

from safeconsole.mysql.connection import MySqlConnection
from safeconsole.mysql.guards import ServerSession
from safeconsole.mysql.link import MySqlLink
from safeconsole.dialects.mysql import MYSQL
from safeconsole.policy.readings import Identity
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Account, Effect, NodeName

SLOTS = ("safeconsole.slot.1", "safeconsole.slot.2")
READ = Statement(text="SELECT 1 FROM t", kind="select", effects=frozenset({Effect.READ}))


class InterruptedWire:
    """A wire on which the person presses Ctrl-C between a question of the console's own and its answer."""

    server_status = 0
    has_ended = False
    open = False

    def __init__(self):
        self.interrupts = False
        self.discarded = False

    def wait_at_most(self, seconds):
        pass

    def require_room(self, text, more_bytes=1):
        pass

    def discard(self):
        self.discarded = True

    def rows(self, text):
        return self._answered([(1,)])

    def run(self, text):
        return self._answered(None)

    def flight(self, *texts):
        return self._answered([])

    def answers(self, *questions):
        return self._answered(iter(()))

    def _answered(self, answer):
        if self.interrupts:
            raise KeyboardInterrupt
        return answer


@pytest.fixture
def connection():
    link = MySqlLink(
        node=NodeName("replica"),
        account=Account.READ,
        dialect=MYSQL,
        version=90_700,
        wire=InterruptedWire(),
        watchdog=None,
        identity=Identity(server="u-1", address="127.0.0.1:3306"),
        patience_seconds=1.0,
    )
    said = ServerSession(guards={}, sql_mode="", character_set="utf8mb4", schema="", server="u-1", writable=False)
    return MySqlConnection(link, said)


@pytest.mark.parametrize(
    "question",
    [
        lambda connection: connection.free_slot(),
        lambda connection: connection.slot_holders(SLOTS),
        lambda connection: connection.take_slot(SLOTS, within_seconds=0.0),
        lambda connection: connection.estimate(READ),
        lambda connection: connection.prove(),
    ],
    ids=["free a slot", "ask who holds the slots", "take a slot", "estimate", "prove"],
)
def test_a_question_that_was_interrupted_ends_its_connection(connection, question):
    assert connection.take_slot(SLOTS, within_seconds=0.0) == SLOTS[0]
    assert not connection.broken
    wire = connection._link.wire
    wire.interrupts = True
    with pytest.raises(KeyboardInterrupt):
        question(connection)
    assert connection.broken
    assert wire.discarded
