-- elevate | to: primary | flavours: mysql, mariadb | effects: lock, read | hazards: user-lock | why: somebody relies on them
SELECT RELEASE_ALL_LOCKS()
