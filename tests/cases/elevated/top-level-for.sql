-- elevate | to: primary | flavours: mariadb | effects: unknown | hazards: unknown-code | why: runs as one statement
FOR i IN 1..3 DO DELETE FROM t; END FOR
