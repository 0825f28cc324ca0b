-- allow | to: any | flavours: sqlite | effects: read | hazards: none | why: an everyday read
PRAGMA table_info(orders)
