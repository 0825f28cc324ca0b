-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: show-table-status | why: a pattern that matches everything
SHOW TABLE STATUS LIKE '%'
