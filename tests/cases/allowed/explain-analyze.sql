-- allow | to: any | flavours: mysql, aurora-mysql | effects: read | hazards: none | why: it runs the query, within its limits
EXPLAIN ANALYZE SELECT * FROM orders WHERE id = 1
