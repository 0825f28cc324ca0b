-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | why: in ON
SELECT 1 FROM a JOIN b ON f(a.x) = b.y
