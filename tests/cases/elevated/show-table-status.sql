-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: show-table-status | why: sizes of a whole schema
SHOW TABLE STATUS
