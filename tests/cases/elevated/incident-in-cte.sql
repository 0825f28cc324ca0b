-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: the same, in a WITH query
WITH t AS (SELECT * FROM information_schema.tables) SELECT table_name FROM t
