-- elevate | to: primary | flavours: mysql, mariadb | effects: lock, read | hazards: row-locks | why: row locks
SELECT * FROM t FOR UPDATE SKIP LOCKED
