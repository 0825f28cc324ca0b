-- allow | to: any | flavours: mysql, aurora-mysql | effects: read | hazards: none | why: MySQL's short form of SELECT *
TABLE currencies ORDER BY code LIMIT 10
