-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT * FROM events WHERE at BETWEEN '2024-01-01' AND '2024-01-31' + INTERVAL 1 DAY
