-- deny | to: primary | flavours: mysql, aurora-mysql | effects: session | hazards: console-owned-setting | why: removes the limit
SET `max_execution_time` = 0
