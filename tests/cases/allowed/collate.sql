-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT * FROM t WHERE a = _utf8mb4'x' COLLATE utf8mb4_bin AND b = N'y' AND c = X'41' AND d = 0x42 AND e = b'01'
