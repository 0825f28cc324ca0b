-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | why: in an ODBC escape
SELECT {fn f()}
