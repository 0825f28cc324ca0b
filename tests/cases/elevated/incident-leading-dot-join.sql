-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: in an ODBC join
SELECT data_length FROM {oj information_schema.tables LEFT OUTER JOIN x ON 1 = 1}
