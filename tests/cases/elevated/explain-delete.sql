-- elevate | to: primary | flavours: mysql, mariadb | effects: read, write | hazards: none | why: refused in a read-only transaction
EXPLAIN DELETE FROM t
