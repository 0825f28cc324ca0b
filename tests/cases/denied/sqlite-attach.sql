-- deny | to: primary | flavours: sqlite | effects: admin | hazards: opens-file | why: opens another file
ATTACH 'x.db' AS x
