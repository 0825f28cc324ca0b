-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: the same, in a derived table
SELECT x FROM (SELECT data_length AS x FROM information_schema.tables) AS d
