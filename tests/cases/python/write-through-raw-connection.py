# exit: 3 | says: not run: this writes | journal: outcome | why: what SQLAlchemy calls raw is ours
connection = db.engine.raw_connection()
connection.cursor().execute("DELETE FROM orders")
