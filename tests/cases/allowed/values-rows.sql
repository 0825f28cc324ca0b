-- allow | to: any | flavours: mysql, aurora-mysql | effects: read | hazards: none | why: MySQL's table constructor
VALUES ROW(1, 2), ROW(3, 4)
