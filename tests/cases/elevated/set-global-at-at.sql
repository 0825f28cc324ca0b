-- elevate | to: primary | flavours: mysql, mariadb | effects: admin, session | hazards: global-setting | why: changes the server for everybody
SET @@GLOBAL . read_only = 0
