-- allow | to: any | flavours: sqlite | effects: read | hazards: none | why: an everyday read
SELECT name FROM pragma_table_info('orders')
