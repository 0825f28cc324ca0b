-- deny | to: primary | flavours: mysql, mariadb | effects: read | hazards: limit-lifting-hint | why: removes the limit
SELECT /*+ SET_VAR(max_execution_time=0) */ * FROM t
