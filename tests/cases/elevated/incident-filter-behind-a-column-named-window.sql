-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: the name of a clause is a column here, and hides no OR
SELECT data_length FROM information_schema.tables t, (SELECT 1 AS window) d WHERE t.table_schema = 'shop' AND t.table_name = 'orders' AND window = 1 OR 1
