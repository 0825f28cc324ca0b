# exit: 4 | says: the table safeconsole.sqltext.kinds.SQLITE_KINDS was changed | journal: tampering | why: the same code, other rules
from safeconsole.sqltext.kinds import SQLITE_KINDS

SQLITE_KINDS["DELETE",] = SQLITE_KINDS["SELECT",]
db.sql("DELETE FROM orders")
