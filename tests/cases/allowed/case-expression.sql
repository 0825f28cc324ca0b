-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT CASE WHEN total > 100 THEN 'big' WHEN total > 10 THEN 'mid' ELSE 'small' END, IF(a, b, c), IFNULL(x, 0), COALESCE(a, b), NULLIF(a, b) FROM orders
