-- deny | to: primary | flavours: mariadb | effects: read | hazards: account-secrets | why: MariaDB shows the hash
SHOW GRANTS
