-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: less time than is in force, held by the console too
SELECT /*+ MAX_EXECUTION_TIME(300) */ * FROM t