-- elevate | to: primary | flavours: mysql, mariadb | effects: unknown | hazards: unreadable | why: not white space to the server
SELECT　1
