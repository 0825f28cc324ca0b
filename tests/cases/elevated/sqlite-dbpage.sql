-- elevate | to: primary | flavours: sqlite | effects: read | hazards: dbpage-scan | why: copies every page
SELECT * FROM sqlite_dbpage
