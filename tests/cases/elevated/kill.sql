-- elevate | to: primary | flavours: mysql, mariadb | effects: admin | hazards: none | why: ends another session
KILL 5
