-- allow | to: any | flavours: mariadb | effects: read | hazards: none | why: native in MariaDB
SELECT MD5(email) FROM users
