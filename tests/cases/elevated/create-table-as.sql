-- elevate | to: primary | flavours: mysql, mariadb | effects: ddl, write | hazards: none | why: changes the schema and writes
CREATE TABLE t AS SELECT * FROM u
