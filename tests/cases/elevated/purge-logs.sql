-- elevate | to: primary | flavours: mysql, mariadb | effects: admin | hazards: none | why: deletes binary logs
PURGE BINARY LOGS TO 'x'
