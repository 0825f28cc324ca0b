-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT CONVERT(created_at, DATETIME(6)), CONVERT(status, NCHAR(4)) FROM orders
