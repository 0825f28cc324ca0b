-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unreadable, information-schema-unlisted | why: U+017F inside quotes
SELECT 1 FROM `information_schema`.`innodb_tableſpaces`
