-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: \G ends a statement as ; does
SELECT * FROM t WHERE id = 1\G
