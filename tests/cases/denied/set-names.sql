-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: changes how statements are read
SET NAMES gbk
