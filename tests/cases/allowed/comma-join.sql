-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT t1.a, t2.b FROM t1, t2 WHERE t1.id = t2.id
