-- elevate | to: primary | flavours: mysql, mariadb, aurora-mysql | effects: lock, read | hazards: row-locks | why: row locks
SELECT * FROM t WHERE id = 1 FOR UPDATE
