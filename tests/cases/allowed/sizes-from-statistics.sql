-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: the safe source of sizes
SELECT database_name, table_name, clustered_index_size FROM mysql.innodb_table_stats WHERE database_name = 'shop' AND table_name > 'a' ORDER BY database_name, table_name LIMIT 100
