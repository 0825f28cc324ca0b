-- elevate | to: primary | flavours: mysql, mariadb | effects: write | hazards: none | why: writes
REPLACE INTO t VALUES (1)
