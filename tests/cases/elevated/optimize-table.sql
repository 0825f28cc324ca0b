-- elevate | to: primary | flavours: mysql, mariadb | effects: ddl, write | hazards: none | why: rebuilds
OPTIMIZE TABLE t
