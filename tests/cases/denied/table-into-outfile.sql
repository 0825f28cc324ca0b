-- deny | to: primary | flavours: mysql | effects: read, write | hazards: server-file | why: a file on the server
TABLE t INTO OUTFILE 'x'
