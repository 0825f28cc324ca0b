-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | why: an option of SELECT in another place
SELECT 1, SQL_NO_CACHE(1)
