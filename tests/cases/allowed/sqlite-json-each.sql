-- allow | to: any | flavours: sqlite | effects: read | hazards: none | why: an everyday read
SELECT value FROM docs, json_each(docs.tags)
