-- elevate | to: primary | flavours: mysql, mariadb | effects: read, session, unknown | hazards: unknown-function | why: runs
DO f()
