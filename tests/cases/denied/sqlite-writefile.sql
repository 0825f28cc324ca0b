-- deny | to: primary | flavours: sqlite | effects: read | hazards: server-file | why: writes a file
SELECT writefile('x', 'y')
