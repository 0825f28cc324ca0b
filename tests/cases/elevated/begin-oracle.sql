-- elevate | to: primary | flavours: mariadb | effects: session, unknown | hazards: none | mode: oracle | why: ORACLE mode runs it as one statement
BEGIN DELETE FROM t; END
