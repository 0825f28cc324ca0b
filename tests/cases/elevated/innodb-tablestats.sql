-- elevate | to: primary | flavours: mysql, aurora-mysql | effects: read | hazards: innodb-dictionary | why: loads every definition and cannot be stopped
SELECT * FROM information_schema.INNODB_TABLESTATS LIMIT 1
