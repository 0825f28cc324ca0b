-- elevate | to: primary | flavours: mariadb | effects: session, write | hazards: none | why: what it runs counts
SET STATEMENT sql_notes = 0 FOR DELETE FROM t
