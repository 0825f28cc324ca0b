-- elevate | to: primary | flavours: mysql, mariadb | effects: write | hazards: none | why: writes
INSERT INTO t SELECT * FROM u
