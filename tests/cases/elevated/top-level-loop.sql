-- elevate | to: primary | flavours: mariadb | effects: unknown | hazards: unknown-code | why: runs as one statement
LOOP DELETE FROM t; END LOOP
