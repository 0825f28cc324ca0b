-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | why: in ORDER BY
SELECT a FROM t ORDER BY f(a)
