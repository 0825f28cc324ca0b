-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT $1 FROM (SELECT id AS $1 FROM orders) d
