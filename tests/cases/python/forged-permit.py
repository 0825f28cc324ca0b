# exit: 4 | says: a statement was sent past the gate's doors | journal: tampering | why: a permit that nobody decided on
from safeconsole.policy.decision import Permit
from safeconsole.sqltext.vocabulary import Account

db.sql("SELECT 1")
gate = db._line.gate
last = gate.last()
permit = Permit(
    statement=gate.split("DELETE FROM orders")[0],
    node=last.node,
    identity=last.identity,
    route=last.route,
    account=Account.READ,
    limits=last.decision.limits,
    read_only=True,
    rules=(),
)
gate._nodes.connect(last.node, permit.account).send(permit)
