-- elevate | to: primary | flavours: mysql, mariadb | effects: admin | hazards: none | why: administers the server
CACHE INDEX t IN c
