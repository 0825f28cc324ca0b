-- elevate | to: primary | flavours: mysql, mariadb | effects: session, unknown | hazards: unknown-function | why: runs
SET @x = f()
