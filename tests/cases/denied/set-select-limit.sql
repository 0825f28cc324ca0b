-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: an answer cut short without a word
SET sql_select_limit = 10
