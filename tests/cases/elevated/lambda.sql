-- elevate | to: primary | flavours: aurora-mysql | effects: read, unknown | hazards: unknown-function | why: calls out of the database
SELECT lambda_sync('arn', '{}')
