-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | why: a set operator elsewhere, a free name on MySQL and MariaDB
SELECT minus(VALUES(a)) FROM t
