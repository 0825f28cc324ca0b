-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT id, LAG(total, 1) OVER w AS before_it, LEAD(total) OVER w FROM orders WINDOW w AS (ORDER BY id)
