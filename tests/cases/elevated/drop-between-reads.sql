-- elevate | to: primary | flavours: mysql, mariadb | effects: ddl, read | hazards: none | why: the strictest decides
SELECT 1; DROP TABLE t; SELECT 2
