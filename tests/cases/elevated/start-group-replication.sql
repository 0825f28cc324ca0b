-- elevate | to: primary | flavours: mysql | effects: admin | hazards: none | why: administers replication
START GROUP_REPLICATION
