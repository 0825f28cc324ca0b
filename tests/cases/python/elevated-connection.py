# exit: 3 | says: a direct connection | journal: fence | why: the engine opens connections for the gate, not for whoever asks
from safeconsole.sqltext.vocabulary import Account

db.sql("SELECT 1")
gate = db._session.gate
gate._engine.connect(gate.last().node, Account.ELEVATED)
