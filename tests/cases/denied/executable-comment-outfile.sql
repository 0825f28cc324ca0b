-- deny | to: primary | flavours: mysql, mariadb, aurora-mysql | effects: read, write | hazards: server-file | why: an executable comment is code
SELECT 1 /*! INTO OUTFILE '/tmp/f' */
