-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | why: SHOW runs its conditions
SHOW TABLES WHERE f()
