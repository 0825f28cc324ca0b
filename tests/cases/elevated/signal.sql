-- elevate | to: primary | flavours: mysql, mariadb | effects: unknown | hazards: none | why: belongs in a routine
SIGNAL SQLSTATE '45000'
