# exit: 4 | says: tampered with | journal: tampering | why: a policy that says yes to everything
import safeconsole.gate

safeconsole.gate.judge = lambda *_, **__: None
db.sql("DELETE FROM orders")
