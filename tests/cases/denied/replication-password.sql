-- deny | to: primary | flavours: mysql, aurora-mysql | effects: read | hazards: stored-passwords | why: a password in clear text
SELECT * FROM mysql.slave_master_info
