-- elevate | to: primary | flavours: mysql, mariadb | effects: admin, lock | hazards: full-table-read | why: reads all, and may mark it
CHECK TABLE t EXTENDED
