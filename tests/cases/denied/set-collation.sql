-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: changes comparisons
SET collation_connection = latin1_bin
