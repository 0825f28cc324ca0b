# exit: 4 | says: tampered with | journal: tampering | why: the way to the gate is looked at as the gate is
db._line.check = lambda **_: None
db.sql("SELECT 1")
