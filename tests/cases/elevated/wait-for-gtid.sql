-- elevate | to: primary | flavours: mysql, aurora-mysql | effects: read | hazards: waits-for-replication | why: waits for replication
SELECT WAIT_FOR_EXECUTED_GTID_SET('x:1')
