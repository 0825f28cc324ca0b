-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | why: what stands in the parenthesis is no query
SELECT 1 = ANY(VALUES(a)) FROM t
