-- elevate | to: primary | flavours: mysql, mariadb | effects: ddl | hazards: none | why: changes the schema
DROP TEMPORARY TABLE t
