-- elevate | to: primary | flavours: mysql, mariadb | effects: admin | hazards: none | why: changes accounts
REVOKE ALL ON *.* FROM u
