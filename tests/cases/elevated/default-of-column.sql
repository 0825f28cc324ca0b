-- elevate | to: primary | flavours: mariadb | effects: read, unknown | hazards: default-of-column | why: the default may be NEXTVAL
SELECT DEFAULT(id) FROM t
