-- allow | to: any | flavours: mysql, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT c.id, l.total FROM customers c, LATERAL (SELECT SUM(total) AS total FROM orders o WHERE o.customer_id = c.id) AS l
