-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: lifts it for the next transaction
SET TRANSACTION READ WRITE
