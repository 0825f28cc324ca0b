-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT id FROM a UNION ALL SELECT id FROM b ORDER BY id LIMIT 10
