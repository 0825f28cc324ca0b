-- elevate | to: primary | flavours: mysql, mariadb | effects: ddl | hazards: loads-code | why: loads foreign code
CREATE FUNCTION f RETURNS INTEGER SONAME 'x.so'
