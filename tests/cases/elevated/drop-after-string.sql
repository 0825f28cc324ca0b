-- elevate | to: primary | flavours: mysql, mariadb | effects: ddl, read | hazards: none | why: a delimiter in a string is none
SELECT ';' ; DROP TABLE t
