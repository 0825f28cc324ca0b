-- elevate | to: primary | flavours: mysql, mariadb | effects: read | hazards: benchmark | why: burns time
SELECT BENCHMARK(1000000000, SHA2('a', 512))
