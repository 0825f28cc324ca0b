# exit: 3 | says: not allowed in this console | journal: fence | why: only the console opens connections for the gate
db._session.gate.elevate(reason="please")
db.sql("DELETE FROM orders")
