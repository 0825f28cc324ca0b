-- deny | to: primary | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: limit-lifting-hint | why: raises the limit
SELECT /*+ MAX_EXECUTION_TIME(100000) */ * FROM t
