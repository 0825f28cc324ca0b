-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: not known to be harmless
SET setting_of_a_coming_version = 1
