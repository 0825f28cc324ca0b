-- elevate | to: primary | flavours: mysql, mariadb, aurora-mysql | effects: read, unknown | hazards: unknown-function | why: code that is not in the text
SELECT f()
