-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | why: qualified and spaced
SELECT shop . f ( 1 )
