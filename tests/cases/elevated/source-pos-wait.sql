-- elevate | to: primary | flavours: mysql, aurora-mysql | effects: read | hazards: waits-for-replication | why: waits for replication
SELECT SOURCE_POS_WAIT('binlog.1', 4)
