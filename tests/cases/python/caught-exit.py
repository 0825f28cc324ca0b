# exit: 4 | says: tampered with | journal: tampering | why: a session that ended sends nothing, whoever catches it
import safeconsole.gate

judge = safeconsole.gate.judge
safeconsole.gate.judge = lambda *_, **__: None
try:
    db.sql("DELETE FROM orders")
except SystemExit:
    safeconsole.gate.judge = judge
db.sql("DELETE FROM orders")
