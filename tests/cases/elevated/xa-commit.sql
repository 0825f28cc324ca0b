-- elevate | to: primary | flavours: mysql, mariadb | effects: session, write | hazards: none | why: commits what another prepared
XA COMMIT 'x'
