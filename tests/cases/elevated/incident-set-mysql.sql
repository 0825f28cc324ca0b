-- elevate | to: primary | flavours: mysql | effects: read, session | hazards: outside-time-limit, information-schema-sizes | why: into a variable
SET @x = (SELECT SUM(data_length) FROM information_schema.tables)
