-- elevate | to: primary | flavours: mysql, mariadb | effects: ddl | hazards: none | why: an empty statement first
; DROP TABLE t
