-- elevate | to: primary | flavours: mysql, mariadb, aurora-mysql | effects: write | hazards: none | why: writes
UPDATE t SET a = 1 WHERE id = 1
