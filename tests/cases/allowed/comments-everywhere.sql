-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
/* who */ SELECT -- what
  * # all
FROM t /* where */ WHERE a = 1 -- end
