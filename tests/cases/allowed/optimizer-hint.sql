-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: a hint that changes a plan and nothing else
SELECT /*+ JOIN_ORDER(a, b) NO_INDEX_MERGE(a i1) */ * FROM a JOIN b ON a.id = b.id
