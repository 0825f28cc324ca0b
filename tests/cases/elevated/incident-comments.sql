-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: the same, with comments for spaces
SELECT/**/data_length/**/FROM/**/information_schema/**/./**/tables
