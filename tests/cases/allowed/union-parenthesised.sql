-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
(SELECT id FROM a LIMIT 1) UNION (SELECT id FROM b LIMIT 1)
