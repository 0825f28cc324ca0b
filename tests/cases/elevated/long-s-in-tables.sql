-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unreadable, information-schema-unlisted | why: U+017F resolves to TABLES on MySQL
SELECT data_length FROM information_schema.tableſ
