-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
EXPLAIN SELECT * FROM orders WHERE customer_id = 1
