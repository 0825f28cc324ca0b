-- elevate | to: primary | flavours: mysql | effects: read | hazards: information-schema-details | why: every column of the server
SELECT * FROM information_schema.columns
