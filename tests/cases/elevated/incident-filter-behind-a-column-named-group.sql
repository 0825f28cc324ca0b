-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: a keyword after a dot does not end the condition
SELECT data_length FROM information_schema.tables t WHERE table_schema = 'a' AND table_name = 'b' AND t.group = 1 OR 1 = 1
