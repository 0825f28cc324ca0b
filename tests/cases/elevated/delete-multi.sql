-- elevate | to: primary | flavours: mysql, mariadb | effects: write | hazards: none | why: writes
DELETE a, b FROM a JOIN b ON a.id = b.id
