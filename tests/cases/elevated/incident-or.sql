-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: OR undoes the filter
SELECT data_length FROM information_schema.tables WHERE table_schema = 'a' AND table_name = 'b' OR 1 = 1
