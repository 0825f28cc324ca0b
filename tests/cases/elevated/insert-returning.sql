-- elevate | to: primary | flavours: mariadb | effects: write | hazards: none | why: writes, though it answers
INSERT INTO t VALUES (1) RETURNING id
