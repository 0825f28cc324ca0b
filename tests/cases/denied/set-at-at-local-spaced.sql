-- deny | to: primary | flavours: mysql, aurora-mysql | effects: session | hazards: console-owned-setting | why: removes the limit
SET @@local . max_execution_time := 0
