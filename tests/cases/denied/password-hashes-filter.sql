-- deny | to: primary | flavours: mysql, mariadb | effects: read | hazards: password-hashes | why: a hash guessed by its filter
SELECT user FROM mysql.user WHERE authentication_string LIKE '*A%'
