# exit: 3 | says: not allowed in this console | journal: fence | why: only the console opens connections for the gate
db._python.session.elevate(reason="please")
db.sql("DELETE FROM orders")
