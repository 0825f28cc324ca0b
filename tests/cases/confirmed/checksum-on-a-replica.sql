-- confirm | to: replica | flavours: mysql, mariadb | effects: read | hazards: full-table-read | why: reads every row
CHECKSUM TABLE t
