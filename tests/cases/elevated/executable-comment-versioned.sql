-- elevate | to: primary | flavours: mysql, mariadb, aurora-mysql | effects: lock, read | hazards: row-locks | why: an executable comment is code
SELECT * FROM t /*!50000 FOR UPDATE */
