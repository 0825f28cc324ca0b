-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT JSON_EXTRACT(doc, '$.a'), JSON_UNQUOTE(JSON_EXTRACT(doc, '$.b')), JSON_CONTAINS(doc, '1', '$.tags'), JSON_ARRAYAGG(id), JSON_OBJECT('k', v), JSON_LENGTH(doc), JSON_VALID(doc) FROM docs
