-- deny | to: primary | flavours: mysql, mariadb | effects: read | hazards: limit-lifting-hint | why: in another spelling
SELECT /*+
 set_var( `sql_mode` = '') */ 1
