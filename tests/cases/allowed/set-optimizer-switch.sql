-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: session | hazards: none | why: a harmless setting
SET SESSION optimizer_switch = 'mrr=off'
