-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | why: MySQL 9.7 drops the 5e and runs f
SELECT .5e(f())
