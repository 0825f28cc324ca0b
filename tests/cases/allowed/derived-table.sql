-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT d.day, d.n FROM (SELECT DATE(created_at) AS day, COUNT(*) AS n FROM orders GROUP BY 1) AS d ORDER BY d.day
