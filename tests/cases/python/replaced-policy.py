# exit: 4 | says: tampered with | journal: tampering | why: another policy than the one that was recorded
import copy

gate = db._line.gate
gate.policy = copy.copy(gate.policy)
db.sql("SELECT 1")
