-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: sys-index-reports | why: joins statistics to performance_schema
SELECT * FROM sys.schema_unused_indexes
