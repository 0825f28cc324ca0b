-- deny | to: primary | flavours: mysql, mariadb | effects: lock, read | hazards: user-lock, console-owned-lock | why: the console's slot would be among them
SELECT RELEASE_ALL_LOCKS()