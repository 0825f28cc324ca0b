-- elevate | to: primary | flavours: mysql, mariadb | effects: ddl, write | hazards: none | why: uses the server's disk
CREATE TEMPORARY TABLE t SELECT * FROM u
