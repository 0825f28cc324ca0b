# exit: 4 | says: tampered with | journal: tampering | why: a session that ended sends nothing, whoever catches it
import safeconsole.gate

permit = safeconsole.gate.permit_from_decision
safeconsole.gate.permit_from_decision = lambda *_, **__: None
try:
    db.sql("DELETE FROM orders")
except SystemExit:
    safeconsole.gate.permit_from_decision = permit
db.sql("DELETE FROM orders")
