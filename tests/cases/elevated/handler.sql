-- elevate | to: primary | flavours: mysql, mariadb | effects: lock | hazards: none | why: holds a table open
HANDLER t OPEN
