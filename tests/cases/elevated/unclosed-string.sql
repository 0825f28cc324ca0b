-- elevate | to: primary | flavours: mysql, mariadb | effects: unknown | hazards: unreadable | why: never closed
SELECT 'abc; DROP TABLE t
