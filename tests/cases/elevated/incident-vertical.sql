-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: with \G
SELECT data_length FROM information_schema.tables\G
