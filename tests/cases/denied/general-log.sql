-- deny | to: primary | flavours: mysql, mariadb | effects: read | hazards: statement-logs | why: statements of others
SELECT argument FROM mysql.general_log
