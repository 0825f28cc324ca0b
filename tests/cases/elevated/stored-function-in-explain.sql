-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | why: MariaDB runs it while planning
EXPLAIN SELECT * FROM (SELECT f()) AS d
