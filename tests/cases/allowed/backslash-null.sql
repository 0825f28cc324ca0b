-- allow | to: any | flavours: mariadb | effects: read | hazards: none | why: an everyday read
SELECT \N, id FROM orders
