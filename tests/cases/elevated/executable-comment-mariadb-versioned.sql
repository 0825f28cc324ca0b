-- elevate | to: primary | flavours: mariadb | effects: write | hazards: none | why: runs on MariaDB only
/*M!100100 DELETE FROM t */
