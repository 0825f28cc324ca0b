-- deny | to: primary | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: password-hashes | why: hashes of passwords
SELECT user, authentication_string FROM mysql.user
