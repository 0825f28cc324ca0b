-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT jt.a FROM docs d, JSON_TABLE(d.doc->'$.a', '$[*]' COLUMNS (a DATETIME(6) PATH '$')) AS jt
