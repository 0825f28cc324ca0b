-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: makes reads lock
SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE
