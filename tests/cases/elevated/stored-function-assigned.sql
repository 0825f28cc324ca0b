-- elevate | to: primary | flavours: mysql, mariadb | effects: read, session, unknown | hazards: unknown-function | why: runs
SELECT @a := f()
