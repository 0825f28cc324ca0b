-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: waits longer than allowed
SET lock_wait_timeout = 31536000
