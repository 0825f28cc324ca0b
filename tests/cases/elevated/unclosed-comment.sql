-- elevate | to: primary | flavours: mysql, mariadb | effects: unknown | hazards: unreadable | why: never closed
SELECT 1 /* DROP TABLE t
