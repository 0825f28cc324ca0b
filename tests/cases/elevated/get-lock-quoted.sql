-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | why: quoted, it still runs
SELECT `get_lock`('x', 10)
