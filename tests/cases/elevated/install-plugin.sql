-- elevate | to: primary | flavours: mysql, mariadb | effects: admin | hazards: loads-code | why: loads foreign code
INSTALL PLUGIN x SONAME 'x.so'
