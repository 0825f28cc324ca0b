-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT größe, имя FROM straße WHERE größe > 3 AND note = '日本'
