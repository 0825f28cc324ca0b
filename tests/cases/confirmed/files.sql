-- confirm | to: replica | flavours: mysql, aurora-mysql | effects: read | hazards: innodb-files | why: a row for every tablespace
SELECT SUM(total_extents) FROM information_schema.files WHERE tablespace_name LIKE 'shop/%'
