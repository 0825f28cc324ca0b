-- elevate | to: primary | flavours: mysql, aurora-mysql | effects: read | hazards: innodb-dictionary | why: loads every definition and cannot be stopped
SELECT name FROM information_schema.innodb_tables
