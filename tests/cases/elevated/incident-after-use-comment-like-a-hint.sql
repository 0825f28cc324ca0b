-- elevate | to: primary | flavours: mysql, mariadb | effects: read, session | hazards: information-schema-sizes | why: the schema of the session, behind a comment written like a hint
USE/*+ x */information_schema; SELECT data_length FROM tables
