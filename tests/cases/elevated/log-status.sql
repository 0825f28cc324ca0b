-- elevate | to: primary | flavours: mysql, aurora-mysql | effects: read | hazards: log-status | why: stops logging for a moment
SELECT * FROM performance_schema.log_status
