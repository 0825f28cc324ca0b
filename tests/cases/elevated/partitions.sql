-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-partitions | why: one engine call a row
SELECT * FROM information_schema.partitions
