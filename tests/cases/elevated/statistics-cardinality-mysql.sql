-- elevate | to: primary | flavours: mysql | effects: read | hazards: information-schema-cardinality | why: cardinality of every index
SELECT * FROM information_schema.statistics
