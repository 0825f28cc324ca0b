-- elevate | to: primary | flavours: aurora-mysql | effects: unknown | hazards: unreadable | why: six digits run on MySQL 8 and later
/*!080000 DELETE FROM t */ 
