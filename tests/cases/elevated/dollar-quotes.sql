-- elevate | to: primary | flavours: mysql, aurora-mysql | effects: unknown | hazards: unreadable | why: MySQL 9 reads a string here, others a name
SELECT $$ DROP $$
