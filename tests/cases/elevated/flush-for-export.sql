-- elevate | to: primary | flavours: mysql, mariadb | effects: admin, lock | hazards: none | why: stops writers
FLUSH TABLES t FOR EXPORT
