-- deny | to: primary | flavours: mysql, mariadb | effects: read | hazards: log-events | why: reads a log from its start
SHOW BINLOG EVENTS
