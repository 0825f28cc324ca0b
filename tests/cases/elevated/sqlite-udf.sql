-- elevate | to: primary | flavours: sqlite | effects: read, unknown | hazards: unknown-function | why: code that is not in the text
SELECT my_function(1)
