-- elevate | to: primary | flavours: mariadb | effects: read, session, unknown | hazards: unknown-function, information-schema-sizes | why: without an answer
DO (SELECT SUM(data_length) FROM information_schema.tables)
