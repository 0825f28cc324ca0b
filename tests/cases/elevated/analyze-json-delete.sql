-- elevate | to: primary | flavours: mariadb | effects: read, write | hazards: none | why: executes
ANALYZE FORMAT=JSON DELETE FROM t
