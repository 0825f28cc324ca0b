-- deny | to: primary | flavours: mariadb | effects: read, write | hazards: server-file | why: a file on the server
SELECT \Ninto outfile '/tmp/x'
