"""What server tests need to talk to an engine as the gate would: secrets, a clock, statements, permits."""

import signal
import threading
import time

from safeconsole.mysql.engine import open_engine
from safeconsole.policy.decision import Permit
from safeconsole.policy.limits import Limits
from safeconsole.config.secrets import Secret
from safeconsole.config.settings import Accounts, ClusterSettings
from safeconsole.sqltext.statement import Hazard, Statement
from safeconsole.sqltext.vocabulary import Account, CostClass, Effect, NodeName, Route

SOON_SECONDS = 20.0
"""
What happens at once has happened by then, also where every core is busy. What it must not be taken for lasts at least
twice as long.
"""

HAZARD = Hazard(id="test", cost=CostClass.BURNS_TIME, why="a test says so")


class GivenSecrets:
    """Passwords by account."""

    def __init__(self, passwords):
        self.passwords = dict(passwords)

    def secret(self, cluster, account, node=""):
        return Secret(account=account, password=self.passwords[account])


class RealClock:
    """The computer's clock."""

    def monotonic(self):
        return time.monotonic()

    def utc(self):
        return ""


def settings_for(nodes, **changes):
    """Settings of a cluster by its addresses."""
    accounts = Accounts(read="console_read", elevated="console_elevated")
    return ClusterSettings(**{"nodes": tuple(nodes), "accounts": accounts, **changes})


def engine_of(cluster, *, through=None, sensors=None, clock=None, **changes):
    """
    An engine over a running cluster.

    Args:
        through: maps a node to the address of a proxy in front of it.
        sensors: what `open_engine` takes as sources of free memory.
        clock: in place of the computer's.
    """
    places = {node.name: f"{node.host}:{node.port}" for node in cluster.nodes}
    places.update(through or {})
    names = {address: name for name, address in places.items()}
    settings = settings_for(places.values(), names=names, **changes)
    return open_engine("shop", settings, GivenSecrets(cluster.accounts), clock or RealClock(), **sensors or {})


def statement(text, kind="select", *effects, hazards=()):
    """A statement as analysis would describe it; a read unless effects say otherwise."""
    return Statement(
        text=text,
        kind=kind,
        effects=frozenset(effects or {Effect.READ}),
        hazards=hazards,
        digest="digest",
        reasons=("by the test",),
        returns_rows=True,
    )


def write(text, kind="update"):
    """A statement that changes rows."""
    return statement(text, kind, Effect.WRITE)


def permit_for(connection, what, *, route=Route.REPLICA, account=Account.READ, identity=None, sensors=(), **limits):
    """A permit as the decision would issue it."""
    return Permit(
        statement=what,
        node=NodeName("node"),
        identity=identity or connection.identity,
        route=route,
        account=account,
        limits=Limits(**limits),
        sensors=sensors,
        read_only=what.effects <= {Effect.READ, Effect.SESSION},
        rules=(),
    )


def elevated(connection, what, **limits):
    """A permit for the primary and the elevated account."""
    return permit_for(connection, what, route=Route.PRIMARY, account=Account.ELEVATED, **limits)


def run(connection, permit, *, watch=None, as_text=False):
    """Send, read all rows, finish; return (rows, completion)."""
    answer = connection.send(permit, watch=watch, as_text=as_text)
    rows = [row for batch in answer.batches() for row in batch]
    return rows, answer.finish()


def read(connection, text, **limits):
    """The rows of a read on a replica."""
    return run(connection, permit_for(connection, statement(text), **limits))[0]


def threads_running(cluster, node, marker):
    """How many threads of the node run a statement that contains the marker, its plan aside, as its DBA sees it."""
    with cluster.dba_connect(node) as dba, dba.cursor() as cursor:
        cursor.execute(
            "SELECT COUNT(*) FROM information_schema.processlist"
            " WHERE info LIKE %s AND info NOT LIKE '%%processlist%%' AND info NOT LIKE 'EXPLAIN%%'"
            " AND info NOT LIKE 'PREPARE%%' AND command NOT IN ('Sleep', 'Prepare')",
            (f"%{marker}%",),
        )
        return cursor.fetchone()[0]


def seconds_until_gone(cluster, node, marker, *, at_most=SOON_SECONDS):
    """Seconds until no thread runs the marker any more."""
    started = time.monotonic()
    while threads_running(cluster, node, marker):
        assert time.monotonic() - started < at_most, f"{marker} still runs after {at_most} s"
        time.sleep(0.01)
    return time.monotonic() - started


def wait_for(condition, *, at_most=SOON_SECONDS):
    """Wait until a condition holds."""
    until = time.monotonic() + at_most
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def act_when(condition, act):
    """Do something as soon as a condition holds, beside what the test waits for."""

    def wait_and_act():
        wait_for(condition)
        act()

    threading.Thread(target=wait_and_act, daemon=True).start()


def interrupt_when(condition):
    """Press Ctrl-C for the main thread as soon as a condition holds."""
    main = threading.main_thread().ident
    act_when(condition, lambda: signal.pthread_kill(main, signal.SIGINT))
