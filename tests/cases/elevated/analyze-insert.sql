-- elevate | to: primary | flavours: mariadb | effects: read, write | hazards: none | why: executes
ANALYZE INSERT INTO t VALUES (1)
