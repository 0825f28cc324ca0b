-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: the server ignores it, and that is said
SELECT /*+ NOT_A_HINT(t) */ * FROM t