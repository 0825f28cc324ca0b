-- allow | to: any | flavours: mariadb | effects: read | hazards: none | why: an everyday read
EXPLAIN EXTENDED SELECT 1
