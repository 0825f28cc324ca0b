-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-unlisted | why: not in the catalogue
SELECT * FROM information_schema.something_new
