-- allow | to: any | flavours: mysql | effects: read | hazards: none | why: an everyday read
SELECT customer_id, GROUPING(customer_id), COUNT(*) FROM orders GROUP BY GROUPING SETS ((customer_id))
