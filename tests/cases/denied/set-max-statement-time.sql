-- deny | to: primary | flavours: mariadb | effects: session | hazards: console-owned-setting | why: removes the limit
SET max_statement_time = 0
