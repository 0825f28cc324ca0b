-- elevate | to: primary | flavours: mysql, mariadb, aurora-mysql | effects: write | hazards: none | why: writes
DELETE FROM t WHERE id = 1
