-- deny | to: primary | flavours: mysql, mariadb | effects: read, write | hazards: server-file | why: a file on the server
SELECT * INTO OUTFILE '/tmp/x' FROM t
