-- deny | to: primary | flavours: mariadb | effects: session | hazards: console-owned-setting | why: lifts the read-only mode
SET tx_read_only = 0
