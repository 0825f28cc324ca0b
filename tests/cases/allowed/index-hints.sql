-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT * FROM t USE INDEX (i1) IGNORE INDEX FOR ORDER BY (i2) WHERE a = 1
