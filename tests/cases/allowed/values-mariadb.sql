-- allow | to: any | flavours: mariadb | effects: read | hazards: none | why: MariaDB's table constructor
VALUES (1, 2), (3, 4)
