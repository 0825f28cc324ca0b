-- elevate | to: primary | flavours: sqlite | effects: read | hazards: full-table-read | why: reads every page
PRAGMA integrity_check
