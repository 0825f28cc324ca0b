-- elevate | to: primary | flavours: mysql, mariadb, aurora-mysql | effects: lock, read | hazards: user-lock | why: a lock that applications wait for
SELECT GET_LOCK('x', 10)
