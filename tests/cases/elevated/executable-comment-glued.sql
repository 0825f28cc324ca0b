-- elevate | to: primary | flavours: mysql, mariadb | effects: ddl | hazards: none | why: no space after the version
/*!50000DROP*/ TABLE t
