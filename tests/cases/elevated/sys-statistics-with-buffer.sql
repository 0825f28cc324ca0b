-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: sys-buffer-pages | why: a view over the buffer pool
SELECT * FROM sys.schema_table_statistics_with_buffer
