-- elevate | to: primary | flavours: mysql, mariadb | effects: unknown | hazards: unknown-code | why: what it runs is in a string
PREPARE s FROM 'DROP TABLE t'
