-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | why: a keyword of newer versions
SELECT sql_no_cache over(1)
