-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: NOT undoes the filter
SELECT data_length FROM information_schema.tables WHERE NOT (table_schema = 'a' AND table_name = 'b')
