-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: what mysqldump writes; the comment is read as code and is harmless
SELECT /*!40001 SQL_NO_CACHE */ * FROM t
