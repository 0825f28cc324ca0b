# exit: 3 | says: not run: this writes | journal: outcome | why: an engine is no other door
from sqlalchemy import delete

with db.engine.begin() as connection:
    connection.execute(delete(db.tables.orders))
