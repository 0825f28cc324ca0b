-- elevate | to: primary | flavours: mysql, mariadb | effects: admin, session | hazards: global-setting | why: behind a harmless assignment
SET @x = 1, GLOBAL general_log = 1
