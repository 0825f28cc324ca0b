-- allow | to: any | flavours: sqlite | effects: read | hazards: none | why: an everyday read
SELECT json_extract(doc, '$.a'), doc ->> 'b' FROM docs
