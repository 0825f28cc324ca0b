-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: larger joins than allowed
SET sql_big_selects = 1
