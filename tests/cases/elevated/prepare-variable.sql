-- elevate | to: primary | flavours: mysql | effects: unknown | hazards: unknown-code | why: what it runs is in a variable
PREPARE s FROM @x
