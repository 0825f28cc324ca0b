-- elevate | to: primary | flavours: mysql | effects: admin | hazards: none | why: administers replication
CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'x'
