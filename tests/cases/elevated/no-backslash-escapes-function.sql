-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | mode: no_backslash_escapes | why: with NO_BACKSLASH_ESCAPES f() runs
SELECT '\', f() -- '
