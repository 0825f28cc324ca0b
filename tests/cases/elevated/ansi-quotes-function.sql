-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | mode: ansi_quotes | why: with ANSI_QUOTES it is a call
SELECT "f"()
