-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: overrides the session's mode
START TRANSACTION READ WRITE
