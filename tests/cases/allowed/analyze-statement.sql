-- allow | to: any | flavours: mariadb | effects: read | hazards: none | why: it runs the query, within its limits
ANALYZE FORMAT=JSON SELECT * FROM orders WHERE id = 1
