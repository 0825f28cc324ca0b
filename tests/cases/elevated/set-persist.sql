-- elevate | to: primary | flavours: mysql | effects: admin, session | hazards: global-setting | why: changes the server for good
SET PERSIST innodb_buffer_pool_size = 1
