-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT SQL_CALC_FOUND_ROWS * FROM t LIMIT 10
