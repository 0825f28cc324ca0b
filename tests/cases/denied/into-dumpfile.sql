-- deny | to: primary | flavours: mysql, mariadb | effects: read, write | hazards: server-file | why: a file on the server
SELECT 1 INTO DUMPFILE '/tmp/x'
