-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: session | hazards: none | why: changes the session only
START TRANSACTION READ ONLY
