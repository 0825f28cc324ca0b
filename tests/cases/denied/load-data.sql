-- deny | to: primary | flavours: mysql, mariadb | effects: write | hazards: reads-server-file | why: reads a file and writes rows
LOAD DATA INFILE '/etc/passwd' INTO TABLE t
