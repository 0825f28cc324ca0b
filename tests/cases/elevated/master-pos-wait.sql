-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: waits-for-replication | why: waits for replication
SELECT MASTER_POS_WAIT('binlog.1', 4)
