-- elevate | to: primary | flavours: sqlite | effects: read, unknown | hazards: pragma-changes | why: not known to read only
SELECT * FROM pragma_wal_checkpoint
