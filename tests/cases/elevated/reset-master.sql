-- elevate | to: primary | flavours: mysql, mariadb | effects: admin | hazards: none | why: deletes every binary log
RESET MASTER
