-- elevate | to: primary | flavours: mariadb | effects: read | hazards: innodb-dictionary | why: linear in tables
SELECT * FROM information_schema.innodb_sys_tables
