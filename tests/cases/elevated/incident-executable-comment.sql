-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: the table in an executable comment
SELECT data_length FROM /*! information_schema.tables */
