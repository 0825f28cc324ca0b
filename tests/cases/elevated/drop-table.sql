-- elevate | to: primary | flavours: mysql, mariadb, aurora-mysql | effects: ddl | hazards: none | why: changes the schema
DROP TABLE IF EXISTS t
