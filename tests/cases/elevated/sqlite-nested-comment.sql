-- elevate | to: primary | flavours: sqlite | effects: ddl, read | hazards: none | why: comments do not nest
SELECT 1 /* /* */ ; DROP TABLE t
