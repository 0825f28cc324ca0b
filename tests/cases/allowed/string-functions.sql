-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT CONCAT(first, ' ', last), SUBSTRING(name, 1, 3), SUBSTRING(name FROM 2 FOR 3), TRIM(LEADING '0' FROM code), UPPER(a), REPLACE(a, 'x', 'y'), LEFT(a, 2), LPAD(id, 8, '0'), INSERT(a, 1, 2, 'z'), REPEAT('-', 3) FROM people
