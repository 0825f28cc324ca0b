-- elevate | to: primary | flavours: mysql, mariadb | effects: ddl | hazards: none | why: changes the schema; its body is not cut
CREATE PROCEDURE p() BEGIN DELETE FROM t; DELETE FROM u; END
