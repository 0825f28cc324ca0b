-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT * FROM orders LEFT JOIN refunds USING (order_id) WHERE refunds.order_id IS NULL
