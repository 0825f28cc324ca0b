-- deny | to: primary | flavours: mysql, mariadb | effects: lock, read | hazards: user-lock, console-owned-lock | why: a backslash stands for nothing here
SELECT GET_LOCK('safe\console.heavy.1', 0)