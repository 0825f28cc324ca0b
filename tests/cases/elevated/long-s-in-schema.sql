-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unreadable | why: a schema name that only looks like another
SELECT data_length FROM information_ſchema.tables
