# exit: 3 | says: a direct connection | journal: fence | why: an embedded node is a file, which has no socket
import sqlite3

db.sql("SELECT 1")
(path,) = {reading.identity.address for reading in db._python.session.topology() if reading.role == "primary"}
sqlite3.connect(f"file:{path}?mode=rw", uri=True).execute("DELETE FROM orders")
