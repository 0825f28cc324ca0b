-- elevate | to: primary | flavours: mysql, mariadb | effects: write | hazards: none | why: writes
UPDATE a JOIN b ON a.id = b.id SET a.x = b.y
