-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: a lookup, once for each row of a table
SELECT (SELECT data_length FROM information_schema.tables t WHERE t.table_schema = 'shop' AND t.table_name = 'orders' AND o.id > 0) FROM orders o
