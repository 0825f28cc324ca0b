-- elevate | to: primary | flavours: mysql | effects: ddl | hazards: none | why: changes the schema
IMPORT TABLE FROM 'x.sdi'
