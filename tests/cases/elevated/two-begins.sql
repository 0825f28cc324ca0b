-- elevate | to: primary | flavours: mysql, mariadb | effects: session, write | hazards: none | why: the strictest decides
BEGIN; DELETE FROM t; COMMIT
