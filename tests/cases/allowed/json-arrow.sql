-- allow | to: any | flavours: mysql, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT doc->'$.a', doc->>'$.b.c' FROM docs WHERE doc->'$.n' > 3
