-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read, session | hazards: none | why: a variable of the person changes the session only
SELECT @rank := @rank + 1 AS rank_, id FROM orders, (SELECT @rank := 0) AS r
