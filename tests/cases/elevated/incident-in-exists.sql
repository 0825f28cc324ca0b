-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: the same, in a condition
SELECT 1 WHERE EXISTS (SELECT 1 FROM information_schema.tables WHERE data_length > 1e9)
