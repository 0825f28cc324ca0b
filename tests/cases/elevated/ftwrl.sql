-- elevate | to: primary | flavours: mysql, mariadb | effects: admin, lock | hazards: none | why: stops every write
FLUSH TABLES WITH READ LOCK
