-- deny | to: primary | flavours: mysql, mariadb | effects: write | hazards: reads-server-file | why: reads a file and writes rows
LOAD XML INFILE 'x' INTO TABLE t
