"""What one session's road is made of, put together."""

from __future__ import annotations

import msgspec

from safeconsole.considering import Considering
from safeconsole.core.visit import Visit
from safeconsole.custody import Custody
from safeconsole.demands import Demands
from safeconsole.elevations import Elevations
from safeconsole.interfaces import Clock, Engine, Journal, People
from safeconsole.nodes import Nodes
from safeconsole.own_writes import OwnWrites
from safeconsole.policies_in_force import PoliciesInForce
from safeconsole.rate import Rate
from safeconsole.recorder import Recorder
from safeconsole.session_state import SessionState
from safeconsole.slots import SlotQueue
from safeconsole.transactions import Transactions
from safeconsole.understanding import Understanding


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
    )
    transactions = Transactions(
        visit=visit, settings=policy.transactions, nodes=nodes, elevations=elevations, recorder=recorder, clock=clock
    )
    rate = Rate(clock)
    custody = Custody(engine=engine, nodes=nodes, elevations=elevations, transactions=transactions)
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
        session_state=SessionState(),
    )
