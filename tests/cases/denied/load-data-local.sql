-- deny | to: primary | flavours: mysql, mariadb | effects: write | hazards: reads-server-file | why: asks this computer for a file
LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t
