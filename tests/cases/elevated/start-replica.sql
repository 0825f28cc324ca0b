-- elevate | to: primary | flavours: mysql, mariadb | effects: admin | hazards: none | why: administers replication
START REPLICA
