-- deny | to: primary | flavours: mysql, aurora-mysql | effects: session | hazards: console-owned-setting | why: lifts the read-only mode
SET @@transaction_read_only = 0
