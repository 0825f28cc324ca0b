-- elevate | to: primary | flavours: mysql, mariadb | effects: lock | hazards: none | why: stops writers
LOCK TABLES t READ
