-- elevate | to: primary | flavours: mysql | effects: read, unknown | hazards: unknown-function | why: no longer native in MySQL 9.6, so it is somebody's function
SELECT MD5(a) FROM t
