-- allow | to: any | flavours: mariadb | effects: read | hazards: none | why: an everyday read
SHOW ALL SLAVES STATUS
