-- elevate | to: primary | flavours: mysql, mariadb | effects: read, write | hazards: none | why: turns an explanation into a run
EXPLAIN /*!50000 ANALYZE */ DELETE FROM t
