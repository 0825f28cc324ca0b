-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: names of one schema
SELECT table_name FROM information_schema.tables WHERE table_schema = 'shop'
