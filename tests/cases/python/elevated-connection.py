# exit: 3 | says: a direct connection | journal: fence | why: the engine opens connections for the gate, not for whoever asks
from safeconsole.sqltext.vocabulary import Account

db.sql("SELECT 1")
session = db._python.session
session._engine.connect(session.last().node, Account.ELEVATED)
