# exit: 3 | says: was not granted | journal: elevation | why: the gate asks whoever calls it
db._line.gate.elevate(reason="please")
db.sql("DELETE FROM orders")
