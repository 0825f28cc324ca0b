-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: a lookup
SELECT data_length + index_length FROM information_schema.tables WHERE table_schema = 'shop' AND table_name = 'orders'
