-- allow | to: any | flavours: sqlite | effects: read | hazards: none | why: an everyday read
SELECT row_number() OVER (ORDER BY id) FROM t
