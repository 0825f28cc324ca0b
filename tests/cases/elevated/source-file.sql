-- elevate | to: primary | flavours: mysql, mariadb | effects: unknown | hazards: none | why: a command of another client
source /tmp/x.sql
