-- elevate | to: primary | flavours: mariadb | effects: read, session | hazards: information-schema-sizes | why: into a variable
SET @x = (SELECT SUM(data_length) FROM information_schema.tables)
