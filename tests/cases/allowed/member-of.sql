-- allow | to: any | flavours: mysql, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT * FROM docs WHERE 5 MEMBER OF (doc->'$.tags')
