-- elevate | to: primary | flavours: mysql, mariadb | effects: admin, ddl | hazards: none | why: changes accounts
ALTER USER u IDENTIFIED BY 'x'
