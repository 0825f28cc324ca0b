-- elevate | to: primary | flavours: sqlite | effects: admin, write | hazards: none | why: writes statistics
ANALYZE
