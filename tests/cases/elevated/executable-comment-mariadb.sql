-- elevate | to: primary | flavours: mariadb | effects: write | hazards: none | why: runs on MariaDB only
/*M! DELETE FROM t */
