-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: session | hazards: none | why: it is so on every connection
SET autocommit = 1