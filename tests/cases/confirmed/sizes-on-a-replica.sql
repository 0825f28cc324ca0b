-- confirm | to: replica | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: information-schema-sizes | why: a replica bears it, when it has not too many tables
SELECT table_schema, SUM(data_length) FROM information_schema.tables GROUP BY 1
