-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
EXPLAIN FORMAT=JSON SELECT * FROM a JOIN b ON a.id = b.id
