-- elevate | to: primary | flavours: mariadb | effects: admin, lock | hazards: none | why: stops writers in the end
BACKUP STAGE START
