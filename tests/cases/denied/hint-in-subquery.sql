-- deny | to: primary | flavours: mysql, mariadb | effects: read | hazards: limit-lifting-hint | why: works from any query block
SELECT * FROM (SELECT /*+ SET_VAR(max_execution_time=0) */ 1) AS d
