-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: before SELECT a hint is a comment
/*+ x */ SELECT 1
