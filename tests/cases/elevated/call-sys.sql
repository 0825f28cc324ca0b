-- elevate | to: primary | flavours: mysql, mariadb | effects: unknown | hazards: unknown-code | why: what it runs is not in the text
CALL sys.ps_truncate_all_tables(FALSE)
