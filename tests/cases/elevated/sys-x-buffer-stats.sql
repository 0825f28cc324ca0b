-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: sys-buffer-pages | why: its raw twin
SELECT * FROM sys.`x$innodb_buffer_stats_by_schema`
