-- elevate | to: primary | flavours: aurora-mysql | effects: read | hazards: information-schema-sizes | why: Aurora MySQL, as the incident was
SELECT data_length FROM information_schema.tables
