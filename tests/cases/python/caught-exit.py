# exit: 4 | says: tampered with | journal: tampering | why: a session that ended sends nothing, whoever catches it
gate = type(db._line.gate)
run = gate.run
gate.run = lambda *_, **__: None
try:
    db.sql("DELETE FROM orders")
except SystemExit:
    gate.run = run
db.sql("DELETE FROM orders")
