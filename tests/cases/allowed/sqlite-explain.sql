-- allow | to: any | flavours: sqlite | effects: read | hazards: none | why: an everyday read
EXPLAIN QUERY PLAN SELECT * FROM orders
