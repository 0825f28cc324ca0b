-- deny | to: primary | flavours: mariadb | effects: read | hazards: password-hashes | why: hashes in JSON
SELECT Priv FROM mysql.global_priv
