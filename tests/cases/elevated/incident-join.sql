-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: a filter through a join does not reach the table
SELECT t.data_length FROM information_schema.tables t JOIN information_schema.schemata s ON s.schema_name = t.table_schema WHERE s.schema_name = 'shop'
