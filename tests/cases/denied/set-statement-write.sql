-- deny | to: primary | flavours: mariadb | effects: session, write | hazards: console-owned-setting | why: lifts the mode and writes at once
SET STATEMENT tx_read_only = 0 FOR INSERT INTO t VALUES (1)
