-- elevate | to: primary | flavours: mariadb | effects: unknown | hazards: unknown-code | why: runs as one statement
BEGIN NOT ATOMIC DELETE FROM t; END
