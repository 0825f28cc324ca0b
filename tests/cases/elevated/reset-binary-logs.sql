-- elevate | to: primary | flavours: mysql | effects: admin | hazards: none | why: deletes every binary log
RESET BINARY LOGS AND GTIDS
