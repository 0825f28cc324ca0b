-- elevate | to: primary | flavours: sqlite | effects: read, unknown | hazards: loads-code | why: loads foreign code
SELECT load_extension('x')
