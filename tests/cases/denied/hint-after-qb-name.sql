-- deny | to: primary | flavours: mysql, mariadb | effects: read | hazards: limit-lifting-hint | why: behind a harmless one
SELECT /*+ QB_NAME(a) MAX_EXECUTION_TIME(0) */ 1
