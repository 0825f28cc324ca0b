-- elevate | to: primary | flavours: mariadb | effects: read | hazards: information-schema-details | why: cardinality of every index
SELECT * FROM information_schema.statistics
