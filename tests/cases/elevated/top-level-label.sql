-- elevate | to: primary | flavours: mariadb | effects: unknown | hazards: none | why: runs as one statement
x: BEGIN NOT ATOMIC DELETE FROM t; END
