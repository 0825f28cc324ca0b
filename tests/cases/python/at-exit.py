# exit: 0 | says: AuditUnavailableError | journal: session-closed | why: after the session nothing is recorded, so nothing is sent
import atexit


def late():
    db._python._at_work = 1
    try:
        db.sql("DELETE FROM orders")
    except BaseException as error:
        print(type(error).__name__)


atexit.register(late)
