-- elevate | to: primary | flavours: mysql, mariadb | effects: unknown | hazards: unreadable | why: not a comment to the server
SELECT id-- INTO @nb FROM t
