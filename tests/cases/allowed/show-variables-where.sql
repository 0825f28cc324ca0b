-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SHOW VARIABLES WHERE variable_name IN ('port', 'version')
