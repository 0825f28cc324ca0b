-- elevate | to: primary | flavours: mysql, mariadb | effects: admin | hazards: none | why: changes accounts
GRANT ALL ON *.* TO u
