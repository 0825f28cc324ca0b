-- elevate | to: primary | flavours: mysql, mariadb, aurora-mysql | effects: lock, read | hazards: row-locks | why: row locks
SELECT id FROM orders WHERE id = 1 FOR /*+ x */ UPDATE
