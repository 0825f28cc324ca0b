-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT DATE_FORMAT(created_at, '%Y-%m'), DATE_ADD(NOW(), INTERVAL 1 MONTH), DATEDIFF(a, b), UNIX_TIMESTAMP(), FROM_UNIXTIME(ts), TIMESTAMPDIFF(HOUR, a, b), EXTRACT(YEAR FROM d), CURDATE(), LAST_DAY(d), STR_TO_DATE(s, '%d.%m.%Y'), YEAR(d), CONVERT_TZ(d, 'UTC', 'Europe/Dublin') FROM t
