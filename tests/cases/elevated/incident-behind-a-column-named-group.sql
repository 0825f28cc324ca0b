-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: a keyword after a dot is a name and ends nothing
SELECT t.data_length FROM a JOIN b ON a.group = b.group, information_schema.tables t
