-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: keeps transactions open
SET autocommit = 0
