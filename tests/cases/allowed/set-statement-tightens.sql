-- allow | to: any | flavours: mariadb | effects: read, session | hazards: none | why: less time than is in force, for one statement
SET STATEMENT max_statement_time = 1 FOR SELECT 1