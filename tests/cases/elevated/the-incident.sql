-- elevate | to: primary | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: information-schema-sizes | why: the query that took a primary down
SELECT table_schema, table_name, data_length+index_length FROM information_schema.tables
