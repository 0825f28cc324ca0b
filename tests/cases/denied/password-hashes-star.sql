-- deny | to: primary | flavours: mysql, mariadb | effects: read | hazards: password-hashes | why: hashes among all columns
SELECT * FROM mysql.user
