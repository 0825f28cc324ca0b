-- elevate | to: primary | flavours: mysql, mariadb | effects: lock, read | hazards: user-lock | why: a hint stands after SELECT and its like only, elsewhere it is a comment
SELECT GET_LOCK/*+ x */('x', 10)
