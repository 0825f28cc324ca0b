-- elevate | to: primary | flavours: sqlite | effects: admin | hazards: none | why: administers
DETACH x
