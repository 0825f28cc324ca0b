-- allow | to: any | flavours: mysql, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT JSON_VALUE(doc, '$.price' RETURNING DECIMAL(10,2)) FROM docs
