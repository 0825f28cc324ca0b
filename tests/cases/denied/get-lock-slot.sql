-- deny | to: primary | flavours: mysql, mariadb | effects: lock, read | hazards: user-lock, console-owned-lock | why: a slot is taken by the console alone
SELECT GET_LOCK('safeconsole.heavy.1', 0)