-- deny | to: primary | flavours: mysql, mariadb | effects: read | hazards: account-secrets | why: shows the hash
SHOW CREATE USER CURRENT_USER()
