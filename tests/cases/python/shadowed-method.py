# exit: 4 | says: tampered with | journal: tampering | why: a function on one object hides its class's own
db._line.gate._record_decision = lambda *_: None
db.sql("SELECT 1")
