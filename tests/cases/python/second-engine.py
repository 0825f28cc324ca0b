# exit: 3 | says: not run: this writes | journal: outcome | why: an engine on our interface leads to the same gate
import sqlalchemy

engine = sqlalchemy.create_engine("sqlite+safeconsole://", module=db.engine.dialect.dbapi, creator=db.connect)
with engine.connect() as connection:
    connection.exec_driver_sql("DELETE FROM orders")
