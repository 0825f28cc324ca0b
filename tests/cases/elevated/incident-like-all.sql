-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: a pattern that matches everything
SELECT data_length FROM information_schema.tables WHERE table_name LIKE '%'
