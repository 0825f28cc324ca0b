-- elevate | to: primary | flavours: sqlite | effects: unknown | hazards: pragma-changes | why: changes the database
PRAGMA user_version(5)
