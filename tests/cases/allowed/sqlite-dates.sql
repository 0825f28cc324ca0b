-- allow | to: any | flavours: sqlite | effects: read | hazards: none | why: an everyday read
SELECT strftime('%Y', created), date('now', '-1 day'), julianday('now') FROM t
