-- elevate | to: primary | flavours: mysql, mariadb | effects: admin | hazards: none | why: stops the server
SHUTDOWN
