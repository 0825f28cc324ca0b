-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: no hash among the columns
SELECT user, host FROM mysql.user
