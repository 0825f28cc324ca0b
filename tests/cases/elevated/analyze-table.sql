-- elevate | to: primary | flavours: mysql, mariadb | effects: admin, write | hazards: none | why: writes statistics, and the binary log
ANALYZE TABLE t
