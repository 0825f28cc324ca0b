-- elevate | to: primary | flavours: mysql, aurora-mysql | effects: write | hazards: none | why: MariaDB ignores 50700 to 99999 and MySQL runs it
/*!80000 DELETE FROM t */
