-- elevate | to: primary | flavours: mysql, mariadb | effects: admin | hazards: none | why: stops replication
STOP REPLICA
