-- elevate | to: primary | flavours: sqlite | effects: read, unknown | hazards: unknown-function | why: reads every page
SELECT * FROM dbstat('main')
