-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT id, user, time, LEFT(info, 80) FROM information_schema.processlist WHERE command <> 'Sleep' ORDER BY time DESC
