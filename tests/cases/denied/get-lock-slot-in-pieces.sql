-- deny | to: primary | flavours: mysql, mariadb | effects: lock, read | hazards: user-lock, console-owned-lock | why: neighbouring literals are one
SELECT GET_LOCK('safe' 'console.heavy.1', 0)