-- elevate | to: primary | flavours: mysql, mariadb | effects: ddl | hazards: none | why: changes the schema
ALTER TABLE t ADD COLUMN a INT
