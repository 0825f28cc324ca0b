-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT * FROM a WHERE x > ANY (SELECT y FROM b) AND z <= ALL (SELECT q FROM d)
