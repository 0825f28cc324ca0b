-- elevate | to: primary | flavours: mysql, mariadb | effects: ddl | hazards: none | why: changes the schema
CREATE INDEX i ON t (a)
