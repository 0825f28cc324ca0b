-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: innodb-buffer-pages | why: walks the buffer pool
SELECT page_type, COUNT(*) FROM information_schema.innodb_buffer_page_lru GROUP BY 1
