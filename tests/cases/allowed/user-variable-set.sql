-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: session | hazards: none | why: a variable of the person changes the session only
SET @from = '2024-01-01', @to = DATE_ADD(@from, INTERVAL 7 DAY)
