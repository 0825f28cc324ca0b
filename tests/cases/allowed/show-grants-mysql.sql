-- allow | to: any | flavours: mysql, aurora-mysql | effects: read | hazards: none | why: MySQL shows no hash
SHOW GRANTS FOR CURRENT_USER()
