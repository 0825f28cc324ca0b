-- elevate | to: primary | flavours: mysql, mariadb | effects: lock, read | hazards: user-lock | why: a comment before the parenthesis
SELECT GET_LOCK/**/('x', 10)
