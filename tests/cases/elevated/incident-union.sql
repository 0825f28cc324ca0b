-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: the same, in a union
SELECT 1 UNION SELECT data_length FROM information_schema.tables
