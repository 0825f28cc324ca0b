-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT '; DROP TABLE t; --', "/*! DELETE */", 'it''s', 'a\'b', 'INTO OUTFILE' FROM t WHERE a LIKE '%FOR UPDATE%'
