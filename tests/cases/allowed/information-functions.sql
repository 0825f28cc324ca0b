-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT DATABASE(), USER(), CURRENT_USER(), VERSION(), CONNECTION_ID(), ROW_COUNT(), FOUND_ROWS(), LAST_INSERT_ID()
