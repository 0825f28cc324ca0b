-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT SHA2(email, 256), UUID(), HEX(id), UNHEX('41'), CRC32(a), TO_BASE64(b), INET_NTOA(ip) FROM users
