"""What one session's road is made of, put together."""

from __future__ import annotations

import msgspec

from safeconsole.audit.record import Journal
from safeconsole.clock import Clock
from safeconsole.cluster.engine import Engine
from safeconsole.session.admission import Rate, SlotQueue
from safeconsole.session.cache import Understanding
from safeconsole.session.connections import Nodes
from safeconsole.session.considering import Considering, PoliciesInForce
from safeconsole.session.custody import Custody
from safeconsole.session.demands import Demands
from safeconsole.session.elevation import Elevations
from safeconsole.session.protocols import People
from safeconsole.session.recorder import Recorder
from safeconsole.session.retry import SendingAgain
from safeconsole.session.state import OwnWrites, SessionState
from safeconsole.session.transactions import Transactions
from safeconsole.session.visit import Visit


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Each part once; see their own modules."""

    recorder: Recorder
    nodes: Nodes
    elevations: Elevations
    transactions: Transactions
    considering: Considering
    demands: Demands
    custody: Custody
    own_writes: OwnWrites
    session_state: SessionState
    understanding: Understanding
    slots: SlotQueue
    rate: Rate
    again: SendingAgain


def assemble(
    *, visit: Visit, policies: PoliciesInForce, engine: Engine, journal: Journal, clock: Clock, people: People
) -> Parts:
    """Return the parts of a new session; nothing is connected to or recorded yet."""
    policy = policies.begun
    recorder = Recorder(journal, rules=lambda: engine.rules, literals=policy.literals)
    nodes = Nodes(engine, clock, visit.schema)
    elevations = Elevations(
        settings=policy.elevation,
        visit=visit,
        journal=recorder,
        clock=clock,
        people=people,
        closed=policies.look,
        is_the_demo=lambda: bool(visit.demo) and nodes.is_the_demo(visit.demo),
    )
    transactions = Transactions(
        visit=visit, settings=policy.transactions, nodes=nodes, elevations=elevations, recorder=recorder, clock=clock
    )
    rate = Rate(clock)
    custody = Custody(engine=engine, nodes=nodes, elevations=elevations, transactions=transactions)
    session_state = SessionState()
    return Parts(
        recorder=recorder,
        nodes=nodes,
        elevations=elevations,
        transactions=transactions,
        considering=Considering(
            visit=visit,
            policies=policies,
            engine=engine,
            nodes=nodes,
            elevations=elevations,
            transactions=transactions,
            rate=rate,
            clock=clock,
        ),
        demands=Demands(
            visit=visit,
            settings=policy.elevation,
            nodes=nodes,
            transactions=transactions,
            elevations=elevations,
            recorder=recorder,
            clock=clock,
            confirmer=people.confirmer,
        ),
        custody=custody,
        understanding=Understanding(),
        rate=rate,
        slots=SlotQueue(policy=policy, custody=custody, recorder=recorder, clock=clock),
        own_writes=OwnWrites(engine, clock, nodes.shows_all_since),
        session_state=session_state,
        again=SendingAgain(
            policies=policies,
            engine=engine,
            nodes=nodes,
            transactions=transactions,
            session_state=session_state,
            recorder=recorder,
        ),
    )
