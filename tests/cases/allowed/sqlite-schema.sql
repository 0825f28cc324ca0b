-- allow | to: any | flavours: sqlite | effects: read | hazards: none | why: an everyday read
SELECT name, sql FROM sqlite_schema
