-- elevate | to: primary | flavours: mariadb | effects: read | hazards: waits-for-replication | why: waits for replication
SELECT MASTER_GTID_WAIT('0-1-1')
