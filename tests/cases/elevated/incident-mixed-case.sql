-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: the same, in mixed case, spaced
SeLeCt DATA_free FrOm InFoRmAtIoN_sChEmA . TaBlEs
