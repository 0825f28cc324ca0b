-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT INTERVAL(23, 1, 15, 17, 30, 44, 200), FIELD(a, 'x', 'y'), ELT(1, 'a', 'b'), GREATEST(1, 2), LEAST(3, 4)
