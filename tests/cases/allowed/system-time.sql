-- allow | to: any | flavours: mariadb | effects: read | hazards: none | why: MariaDB's history of a table
SELECT * FROM accounts FOR SYSTEM_TIME AS OF TIMESTAMP '2024-01-01 00:00:00' WHERE id = 1
