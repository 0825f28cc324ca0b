-- allow | to: any | flavours: mariadb | effects: read | hazards: none | why: MariaDB's own limit
SELECT * FROM t LIMIT 10 ROWS EXAMINED 1000
