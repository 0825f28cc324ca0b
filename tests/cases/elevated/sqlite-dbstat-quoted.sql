-- elevate | to: primary | flavours: sqlite | effects: read | hazards: dbstat-size-scan | why: reads every page
SELECT * FROM "DBSTAT"
