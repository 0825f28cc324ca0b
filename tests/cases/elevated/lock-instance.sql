-- elevate | to: primary | flavours: mysql | effects: admin, lock | hazards: none | why: stops DDL
LOCK INSTANCE FOR BACKUP
