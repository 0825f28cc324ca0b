-- elevate | to: primary | flavours: mariadb | effects: read | hazards: information-schema-columns | why: every column of the server
SELECT * FROM information_schema.columns
