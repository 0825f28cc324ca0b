-- elevate | to: primary | flavours: mysql, mariadb | effects: unknown | hazards: unreadable | why: a comment inside an executable comment
SELECT 1 /*!50000 /* n */ INTO OUTFILE 'x' */
