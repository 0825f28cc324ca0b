-- elevate | to: primary | flavours: mysql, mariadb | effects: unknown | hazards: unreadable | why: a delimiter inside
SELECT 1 /*! ; DELETE FROM t */
