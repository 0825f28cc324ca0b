-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function, procedure-analyse | why: a procedure works on the rows
SELECT * FROM t PROCEDURE ANALYSE()
