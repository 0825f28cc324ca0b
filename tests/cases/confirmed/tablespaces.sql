-- confirm | to: replica | flavours: mysql, aurora-mysql | effects: read | hazards: innodb-tablespaces | why: a row for every tablespace
SELECT name, file_size FROM information_schema.innodb_tablespaces LIMIT 10
