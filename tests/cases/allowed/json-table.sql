-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT jt.* FROM docs, JSON_TABLE(doc, '$.items[*]' COLUMNS (sku VARCHAR(20) PATH '$.sku', n INT PATH '$.n')) AS jt
