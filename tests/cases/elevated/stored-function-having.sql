-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | why: in HAVING
SELECT a FROM t GROUP BY a HAVING f(a)
