# exit: 0 | says: the node says | journal: code | why: KNOWN WAY: the driver has no door; what it is connected as cannot write
import sqlite3

db.sql("SELECT 1")
(connection, *_) = db._python.session._nodes._parked.values()
try:
    connection._link.raw.execute("DELETE FROM orders")
except sqlite3.DatabaseError as error:
    print("the node says", error)
