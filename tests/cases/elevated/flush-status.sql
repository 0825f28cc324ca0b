-- elevate | to: primary | flavours: mysql, mariadb | effects: admin | hazards: none | why: resets counters
FLUSH STATUS
