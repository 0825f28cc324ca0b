-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT `select`, `a``b` FROM `order` WHERE `from` = "x"
