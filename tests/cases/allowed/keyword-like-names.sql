-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT status, date, type, name, user, value, `key`, count FROM t ORDER BY timestamp
