-- elevate | to: primary | flavours: mysql, mariadb | effects: lock, read | hazards: user-lock | why: SHOW runs its conditions
SHOW DATABASES WHERE GET_LOCK('s', 1)
