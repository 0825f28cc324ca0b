-- elevate | to: primary | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: sleeps | why: burns time
SELECT SLEEP(10)
