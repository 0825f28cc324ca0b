-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: a size column in the filter
SELECT COUNT(*) FROM information_schema.tables WHERE data_free > 0
