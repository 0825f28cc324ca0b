-- elevate | to: primary | flavours: mysql, mariadb | effects: admin | hazards: none | why: closes every table
FLUSH TABLES
