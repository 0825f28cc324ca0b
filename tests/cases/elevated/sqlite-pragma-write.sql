-- elevate | to: primary | flavours: sqlite | effects: unknown | hazards: pragma-changes | why: changes the database
PRAGMA journal_mode = DELETE
