-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT customer_id, GROUP_CONCAT(DISTINCT sku ORDER BY sku SEPARATOR ', ') FROM items GROUP BY customer_id
