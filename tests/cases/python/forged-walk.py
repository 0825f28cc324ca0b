# exit: 4 | says: a statement was sent past the gate's doors | journal: tampering | why: half of the road is no road
from safeconsole.policy.decision import permit_from_decision

db.sql("SELECT id FROM orders WHERE id = 1")
gate = db._line.gate
last = gate.last()
permit = permit_from_decision(last, grant=None, confirmed=True, now_seconds=0.0)
connection = gate._nodes.connect(last.node, permit.account)


class Quiet:
    wants_text = False
    progress = None


gate._carry_out(99, last, permit, connection, Quiet())
