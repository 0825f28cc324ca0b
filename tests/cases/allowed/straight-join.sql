-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT STRAIGHT_JOIN a.x FROM a STRAIGHT_JOIN b ON a.id = b.id
