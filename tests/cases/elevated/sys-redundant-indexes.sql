-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: sys-index-reports | why: joins every index with itself
SELECT * FROM sys.schema_redundant_indexes
