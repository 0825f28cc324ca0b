-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: more rows than allowed
SET sql_select_limit = 18446744073709551615
