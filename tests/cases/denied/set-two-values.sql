-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: one ceiling cannot be both
SET lock_wait_timeout = 1, innodb_lock_wait_timeout = 2