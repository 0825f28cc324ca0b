-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT COUNT(DISTINCT customer_id), MIN(id), MAX(id), AVG(total) FROM orders
