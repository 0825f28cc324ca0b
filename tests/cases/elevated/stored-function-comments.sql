-- elevate | to: primary | flavours: mysql, mariadb | effects: read, unknown | hazards: unknown-function | why: qualified with comments
SELECT shop/**/./**/f/**/(1)
