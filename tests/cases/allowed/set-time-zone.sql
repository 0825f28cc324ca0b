-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: session | hazards: none | why: a harmless setting
SET time_zone = '+00:00'
