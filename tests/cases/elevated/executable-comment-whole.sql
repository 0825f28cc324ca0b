-- elevate | to: primary | flavours: mysql, mariadb | effects: write | hazards: none | why: the whole statement
/*!50000 DELETE FROM t */
