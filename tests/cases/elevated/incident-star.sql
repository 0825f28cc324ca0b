-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: a limit does not help: all is computed first
SELECT * FROM information_schema.tables ORDER BY data_length DESC LIMIT 10
