-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT `delete`, `drop table`, t.`update` FROM `grant` t WHERE `into` = 1
