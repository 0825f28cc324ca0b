-- elevate | to: primary | flavours: mariadb | effects: read, unknown | hazards: unknown-function | why: MariaDB calls a stored function there
SELECT COUNT(*) FROM orders GROUP BY ROLLUP(customer_id)
