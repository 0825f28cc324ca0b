-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-details | why: no key of the view in the filter
SELECT * FROM information_schema.key_column_usage WHERE referenced_table_name = 'orders'
