-- elevate | to: primary | flavours: mariadb | effects: write | hazards: none | why: writes, though it answers
DELETE FROM t RETURNING *
