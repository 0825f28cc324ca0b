-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT CAST(a AS CHAR(10)), CAST(b AS UNSIGNED), CAST(c AS DECIMAL(10,2)), CONVERT(d USING utf8mb4), CONVERT(e, SIGNED), CAST(f AS DATETIME(6)), BINARY a FROM t
