-- elevate | to: primary | flavours: mysql, mariadb | effects: read, session | hazards: information-schema-sizes | why: the same, by the schema of the session
USE information_schema; SELECT data_length FROM tables
