-- elevate | to: primary | flavours: mysql | effects: admin | hazards: none | why: restarts the server
RESTART
