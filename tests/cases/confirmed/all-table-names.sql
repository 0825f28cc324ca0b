-- confirm | to: replica | flavours: mysql, mariadb | effects: read | hazards: information-schema-names | why: every name of the server
SELECT table_name FROM information_schema.tables
