-- elevate | to: primary | flavours: mariadb | effects: read, write | hazards: sequence | why: uses up a value
SELECT NEXT VALUE FOR s
