-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT status, COUNT(*) AS n, SUM(total) FROM orders GROUP BY status WITH ROLLUP HAVING n > 10 ORDER BY n DESC
