-- elevate | to: primary | flavours: mariadb | effects: read, write | hazards: sequence | mode: oracle | why: ORACLE mode's form
SELECT s.nextval
