-- elevate | to: primary | flavours: mariadb | effects: read, write | hazards: sequence | why: changes a sequence
SELECT SETVAL(s, 9)
