-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: the names alone are not dangerous
SELECT data_length, index_length FROM my_tables
