-- deny | to: primary | flavours: mariadb | effects: read, session | hazards: console-owned-setting | why: removes the limit for one statement
SET STATEMENT max_statement_time = 0 FOR SELECT * FROM t
