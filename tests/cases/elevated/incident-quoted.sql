-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: information-schema-sizes | why: the same, quoted and aliased
SELECT `t`.`DATA_LENGTH` FROM `information_schema`.`TABLES` AS `t`
