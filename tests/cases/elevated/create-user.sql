-- elevate | to: primary | flavours: mysql, mariadb | effects: admin, ddl | hazards: none | why: changes accounts
CREATE USER u IDENTIFIED BY 'secret'
