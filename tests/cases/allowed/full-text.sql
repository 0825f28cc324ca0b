-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT id, MATCH (title, body) AGAINST ('replica' IN NATURAL LANGUAGE MODE) AS score FROM posts WHERE MATCH (title, body) AGAINST ('+lag -"old"' IN BOOLEAN MODE)
