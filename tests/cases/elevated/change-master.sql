-- elevate | to: primary | flavours: mysql, mariadb | effects: admin | hazards: none | why: administers replication
CHANGE MASTER TO MASTER_HOST = 'x'
