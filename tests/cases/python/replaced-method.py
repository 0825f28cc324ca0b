# exit: 4 | says: tampered with | journal: tampering | why: a gate that walks no road
type(db._line.gate).run = lambda *_, **__: None
db.sql("SELECT 1")
