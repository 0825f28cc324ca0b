-- allow | to: any | flavours: sqlite | effects: read | hazards: none | why: an everyday read
WITH a(x) AS NOT MATERIALIZED (SELECT 1) SELECT x FROM a
