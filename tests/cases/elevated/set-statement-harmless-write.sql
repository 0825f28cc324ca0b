-- elevate | to: primary | flavours: mariadb | effects: session, write | hazards: none | why: what it runs counts
SET STATEMENT group_concat_max_len = 10 FOR DELETE FROM t
