-- deny | to: primary | flavours: sqlite | effects: ddl, write | hazards: server-file | why: writes a file
VACUUM INTO 'x.db'
