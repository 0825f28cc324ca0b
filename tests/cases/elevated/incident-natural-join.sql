-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes, information-schema-partitions | why: a natural join asks for every common column
SELECT 1 FROM information_schema.tables NATURAL JOIN information_schema.partitions
