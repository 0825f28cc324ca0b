-- elevate | to: primary | flavours: mysql, mariadb | effects: admin, session | hazards: none | why: changes an account
SET PASSWORD = 'x'
