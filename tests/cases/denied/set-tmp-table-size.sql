-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: more memory than allowed
SET tmp_table_size = 99999999999
