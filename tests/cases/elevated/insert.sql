-- elevate | to: primary | flavours: mysql, mariadb, aurora-mysql | effects: write | hazards: none | why: writes
INSERT INTO t VALUES (1)
