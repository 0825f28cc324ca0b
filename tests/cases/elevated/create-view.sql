-- elevate | to: primary | flavours: mysql, mariadb | effects: ddl | hazards: none | why: changes the schema
CREATE OR REPLACE VIEW v AS SELECT 1
