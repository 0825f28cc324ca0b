-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT {d '2024-01-01'}, {fn UPPER(name)} FROM {oj a LEFT OUTER JOIN b ON a.id = b.id}
