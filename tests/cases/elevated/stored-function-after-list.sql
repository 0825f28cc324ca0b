-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | why: a run of literals does not hide the call
SELECT f(1),(2)
