-- elevate | to: primary | flavours: mysql, mariadb | effects: unknown | hazards: unreadable | why: cannot be seen
SELECT 1​ FROM t
