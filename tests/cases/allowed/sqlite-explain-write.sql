-- allow | to: any | flavours: sqlite | effects: read | hazards: none | why: SQLite explains without running
EXPLAIN DELETE FROM orders
