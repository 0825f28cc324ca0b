-- elevate | to: primary | flavours: mysql | effects: write | hazards: none | why: six digits run on MySQL 8 and later
/*!080000 DELETE FROM t */ 
