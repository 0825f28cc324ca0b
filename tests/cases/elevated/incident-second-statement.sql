-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: hidden between harmless ones
SELECT 1; SELECT data_length FROM information_schema.tables; SELECT 2
