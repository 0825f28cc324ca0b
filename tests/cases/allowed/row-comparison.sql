-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT * FROM t WHERE (a, b) > (1, 2) AND ROW(c, d) = ROW(3, 4)
