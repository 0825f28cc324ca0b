-- allow | to: any | flavours: mysql, aurora-mysql | effects: read | hazards: none | why: the dictionary finds a tablespace by its name
SELECT total_extents * extent_size FROM information_schema.files WHERE tablespace_name = 'shop/orders'
