-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT * FROM posts WHERE MATCH title, body AGAINST ('x')
