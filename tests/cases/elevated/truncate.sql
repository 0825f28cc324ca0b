-- elevate | to: primary | flavours: mysql, mariadb | effects: ddl, write | hazards: none | why: empties
TRUNCATE t
