-- elevate | to: primary | flavours: mysql, mariadb | effects: unknown | hazards: unreadable | why: MySQL 9.7 drops the 1.e and runs f
SELECT 1.e(f())
