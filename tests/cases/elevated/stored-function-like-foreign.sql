-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | why: built in elsewhere, not here
SELECT levenshtein(a, b) FROM t
