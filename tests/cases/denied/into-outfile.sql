-- deny | to: primary | flavours: mysql, mariadb, aurora-mysql | effects: read, write | hazards: server-file | why: a file on the server
SELECT * FROM t INTO OUTFILE '/tmp/x'
