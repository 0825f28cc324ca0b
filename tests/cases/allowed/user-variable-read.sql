-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT @x, @`a b`, @@version, @@global.max_connections, @@session.sql_mode
