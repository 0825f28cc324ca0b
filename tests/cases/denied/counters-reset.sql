-- deny | to: primary | flavours: mysql, mariadb | effects: read | hazards: innodb-counters-reset | why: reading it resets
SELECT * FROM information_schema.innodb_cmp_reset
