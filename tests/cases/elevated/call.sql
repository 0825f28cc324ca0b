-- elevate | to: primary | flavours: mysql, mariadb, aurora-mysql | effects: unknown | hazards: unknown-code | why: what it runs is not in the text
CALL p()
