-- allow | to: any | flavours: sqlite | effects: read | hazards: none | why: an everyday read
SELECT * FROM orders WHERE id = ?1
