-- elevate | to: primary | flavours: mysql, mariadb | effects: unknown | hazards: unreadable | why: two statements under another delimiter
DELIMITER //
SELECT 1; DROP TABLE t //
