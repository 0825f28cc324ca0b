-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: sleeps | why: a space before the parenthesis
SELECT sleep (10)
