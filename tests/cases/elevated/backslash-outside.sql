-- elevate | to: primary | flavours: mysql, mariadb | effects: unknown | hazards: unreadable | why: a backslash outside quotes
SELECT 1 \! ls
