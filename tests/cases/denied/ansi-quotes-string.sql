-- deny | to: primary | flavours: mysql, mariadb | effects: read, write | hazards: server-file | mode: ansi_quotes | why: with ANSI_QUOTES the quote ends earlier
SELECT 1 AS "a\" INTO OUTFILE 'x' -- "
