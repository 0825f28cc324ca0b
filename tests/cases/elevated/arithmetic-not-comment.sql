-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | why: -- without a space is arithmetic
SELECT 1--f()
