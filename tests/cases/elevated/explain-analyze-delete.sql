-- elevate | to: primary | flavours: mysql | effects: read, write | hazards: none | why: runs the joins
EXPLAIN ANALYZE DELETE t FROM t JOIN u ON t.id = u.id
