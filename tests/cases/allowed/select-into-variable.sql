-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read, session | hazards: none | why: a variable of the person changes the session only
SELECT COUNT(*) INTO @n FROM orders
