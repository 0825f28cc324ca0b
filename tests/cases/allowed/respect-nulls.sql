-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT FIRST_VALUE(total) RESPECT NULLS OVER (ORDER BY id) FROM orders
