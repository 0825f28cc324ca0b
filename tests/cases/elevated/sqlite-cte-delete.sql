-- elevate | to: primary | flavours: sqlite | effects: write | hazards: none | why: begins like a query
WITH a AS (SELECT 1) DELETE FROM t
