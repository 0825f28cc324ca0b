-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read, session | hazards: none | why: changes the session only
BEGIN; SELECT 1; COMMIT
