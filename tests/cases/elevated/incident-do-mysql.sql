-- elevate | to: primary | flavours: mysql | effects: read, session, unknown | hazards: unknown-function, information-schema-sizes, outside-time-limit | why: without an answer
DO (SELECT SUM(data_length) FROM information_schema.tables)
