-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: what a client asks for its completions
SELECT ROUTINE_NAME FROM INFORMATION_SCHEMA.ROUTINES WHERE ROUTINE_TYPE="FUNCTION" AND ROUTINE_SCHEMA = "shop"
