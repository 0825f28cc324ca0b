-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT * FROM {OJ (customers c LEFT JOIN orders o ON o.customer_id = c.id)}
