-- elevate | to: primary | flavours: mysql, mariadb | effects: write | hazards: none | why: writes
UPDATE t SET a = 1 WHERE 1
