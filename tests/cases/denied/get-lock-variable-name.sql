-- deny | to: primary | flavours: mysql, mariadb | effects: lock, read | hazards: user-lock, console-owned-lock | why: a name that is not in the text may be a slot's
SELECT GET_LOCK(@name, 0)