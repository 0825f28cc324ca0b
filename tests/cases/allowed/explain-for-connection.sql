-- allow | to: any | flavours: mysql, aurora-mysql | effects: read | hazards: none | why: an everyday read
EXPLAIN FOR CONNECTION 5
