"""What one session's road is made of, put together."""

from __future__ import annotations

import msgspec

from safeconsole.core.visit import Visit
from safeconsole.interfaces import Clock, Engine, Journal, People
from safeconsole.road.considering import Considering
from safeconsole.road.custody import Custody
from safeconsole.road.demands import Demands
from safeconsole.road.elevations import Elevations
from safeconsole.road.nodes import Nodes
from safeconsole.road.own_writes import OwnWrites
from safeconsole.road.policies_in_force import PoliciesInForce
from safeconsole.road.rate import Rate
from safeconsole.road.recorder import Recorder
from safeconsole.road.sending_again import SendingAgain
from safeconsole.road.session_state import SessionState
from safeconsole.road.slots import SlotQueue
from safeconsole.road.transactions import Transactions
from safeconsole.road.understanding import Understanding


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
