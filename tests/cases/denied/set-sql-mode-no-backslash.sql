-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: changes how statements are read
SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'
