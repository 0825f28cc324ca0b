-- deny | to: primary | flavours: mariadb | effects: session | hazards: console-owned-setting | why: behind a harmless assignment
SET @a = 1, max_statement_time = 0
