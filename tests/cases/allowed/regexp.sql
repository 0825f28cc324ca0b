-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT * FROM users WHERE email REGEXP '^[a-z]+@' AND name NOT RLIKE 'x' AND REGEXP_REPLACE(a, 'b', 'c') = 'd'
