-- deny | to: primary | flavours: mysql, mariadb | effects: read | hazards: reads-server-file | why: a file of the server
SELECT LOAD_FILE('/etc/passwd')
