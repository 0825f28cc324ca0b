-- elevate | to: primary | flavours: sqlite | effects: ddl, write | hazards: none | why: rewrites the file
VACUUM
