-- allow | to: any | flavours: mysql, aurora-mysql | effects: read | hazards: none | why: what an ORM asks for the names of tables
SELECT table_name FROM (SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = database()) AS _subquery WHERE table_type = 'BASE TABLE'
