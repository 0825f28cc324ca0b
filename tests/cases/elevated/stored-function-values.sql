-- elevate | to: primary | flavours: mysql, aurora-mysql | effects: read, unknown | hazards: unknown-function | why: in a table constructor
VALUES ROW(f())
