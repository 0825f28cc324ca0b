-- elevate | to: primary | flavours: mysql, mariadb | effects: admin | hazards: none | why: ends a statement of another
KILL QUERY 5
