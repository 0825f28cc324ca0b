-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT * FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE country = 'IE')
