-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: what stands behind an alias is read from the server's notes
SET sql_notes = 0