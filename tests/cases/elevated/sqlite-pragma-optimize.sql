-- elevate | to: primary | flavours: sqlite | effects: unknown | hazards: pragma-changes | why: writes statistics
PRAGMA optimize
