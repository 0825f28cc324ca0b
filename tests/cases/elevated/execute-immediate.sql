-- elevate | to: primary | flavours: mariadb | effects: unknown | hazards: unknown-code | why: what it runs is put together
EXECUTE IMMEDIATE CONCAT('DR', 'OP TABLE t')
