-- elevate | to: primary | flavours: sqlite | effects: unknown | hazards: pragma-changes | why: not known to read only
PRAGMA wal_checkpoint
