-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: other rights than the console checked
SET ROLE ALL
