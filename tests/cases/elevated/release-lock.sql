-- elevate | to: primary | flavours: mysql, mariadb | effects: lock, read | hazards: user-lock | why: somebody relies on it
SELECT RELEASE_LOCK('x')
