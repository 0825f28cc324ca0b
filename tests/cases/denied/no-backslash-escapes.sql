-- deny | to: primary | flavours: mysql, mariadb | effects: read, write | hazards: server-file | mode: no_backslash_escapes | why: with NO_BACKSLASH_ESCAPES the quote ends earlier
SELECT 'a\' INTO OUTFILE "x" -- '
