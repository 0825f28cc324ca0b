-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | why: a comment before the parenthesis, written like a hint
SELECT f /*+ x */ (1)
