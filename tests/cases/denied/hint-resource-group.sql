-- deny | to: primary | flavours: mysql, mariadb | effects: read | hazards: limit-lifting-hint | why: another group's processors
SELECT /*+ RESOURCE_GROUP(x) */ 1
