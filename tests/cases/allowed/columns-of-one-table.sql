-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: a lookup
SELECT column_name, data_type FROM information_schema.COLUMNS c WHERE c.table_schema = 'shop' AND c.table_name = 'orders'
