-- elevate | to: primary | flavours: mysql, aurora-mysql | effects: read | hazards: information-schema-sizes | why: every column, sizes among them
TABLE information_schema.tables
