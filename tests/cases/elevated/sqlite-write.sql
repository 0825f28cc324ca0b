-- elevate | to: primary | flavours: sqlite | effects: write | hazards: none | why: writes
UPDATE t SET a = 1
