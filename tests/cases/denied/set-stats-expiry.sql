-- deny | to: primary | flavours: mysql, aurora-mysql | effects: session | hazards: console-owned-setting | why: metadata reads would write again
SET information_schema_stats_expiry = 86400
