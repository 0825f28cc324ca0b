-- elevate | to: primary | flavours: mariadb | effects: unknown | hazards: unknown-code | why: runs as one statement
WHILE 1 DO DELETE FROM t; END WHILE
