-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: changes how statements are read
SET sql_mode = 'ANSI_QUOTES'
