-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: waits longer than allowed
SET innodb_lock_wait_timeout = 1000
