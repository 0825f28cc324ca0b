-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: replicas would differ
SET sql_log_bin = 0
