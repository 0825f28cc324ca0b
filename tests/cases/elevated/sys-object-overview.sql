-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: sys-object-reports | why: collects every object
SELECT * FROM sys.schema_object_overview
