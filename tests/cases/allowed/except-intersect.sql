-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT id FROM a EXCEPT SELECT id FROM b INTERSECT (SELECT id FROM d)
