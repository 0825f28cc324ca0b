-- elevate | to: primary | flavours: mysql | effects: admin, ddl | hazards: none | why: administers the server
ALTER INSTANCE ROTATE INNODB MASTER KEY
