-- elevate | to: primary | flavours: mysql, mariadb, aurora-mysql | effects: unknown | hazards: none | why: no kind of statement begins like this
FROBNICATE t
