-- deny | to: primary | flavours: mysql, mariadb | effects: read | hazards: statement-logs | why: statements of others
SELECT sql_text FROM mysql.slow_log
