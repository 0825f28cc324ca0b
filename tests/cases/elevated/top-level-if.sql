-- elevate | to: primary | flavours: mariadb | effects: unknown | hazards: unknown-code | why: runs as one statement
IF 1 THEN DELETE FROM t; END IF
