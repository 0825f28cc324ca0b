-- elevate | to: primary | flavours: mysql, mariadb | effects: session, write | hazards: none | why: a transaction of its own kind
XA START 'x'
