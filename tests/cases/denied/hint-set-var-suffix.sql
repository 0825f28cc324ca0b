-- deny | to: primary | flavours: mysql, aurora-mysql | effects: read | hazards: limit-lifting-hint | why: K is 1024 times as much
SELECT /*+ SET_VAR(max_execution_time=300K) */ * FROM t