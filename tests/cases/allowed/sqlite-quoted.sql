-- allow | to: any | flavours: sqlite | effects: read | hazards: none | why: an everyday read
SELECT [a b], "c", `d` FROM "order"
