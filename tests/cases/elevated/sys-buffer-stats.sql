-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: sys-buffer-pages | why: a view over the buffer pool
SELECT * FROM sys.innodb_buffer_stats_by_table
