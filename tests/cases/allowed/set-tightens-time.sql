-- allow | to: any | flavours: mysql, aurora-mysql | effects: session | hazards: none | why: less time than is in force, for the session
SET SESSION max_execution_time = 1000