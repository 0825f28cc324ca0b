-- elevate | to: primary | flavours: mysql, mariadb | effects: write | hazards: none | why: applies events
BINLOG 'abc'
