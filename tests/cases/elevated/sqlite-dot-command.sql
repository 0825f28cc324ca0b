-- elevate | to: primary | flavours: sqlite | effects: unknown | hazards: none | why: a command of another client
.shell ls
