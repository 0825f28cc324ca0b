-- elevate | to: primary | flavours: mysql, aurora-mysql | effects: write | hazards: none | why: begins like a query
WITH a AS (SELECT 1) DELETE FROM t WHERE id IN (SELECT * FROM a)
