-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: takes a guard away
SET sql_safe_updates = 0
