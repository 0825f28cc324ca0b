-- allow | to: any | flavours: sqlite | effects: read | hazards: none | why: an everyday read
PRAGMA main.journal_mode
