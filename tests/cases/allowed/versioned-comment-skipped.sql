-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: a comment for a version that does not exist yet
SELECT /*!999999 nothing that */ 1
