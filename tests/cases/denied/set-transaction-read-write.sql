-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: lifts the read-only mode
SET SESSION TRANSACTION READ WRITE
