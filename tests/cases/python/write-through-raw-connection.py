# exit: 3 | says: not run: this writes | journal: outcome | why: what SQLAlchemy calls raw is ours
cursor = db.engine.raw_connection().cursor()
cursor.execute("DELETE FROM orders")
