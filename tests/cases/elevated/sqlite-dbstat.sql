-- elevate | to: primary | flavours: sqlite | effects: read | hazards: dbstat-size-scan | why: the incident's twin: reads every page
SELECT name, SUM(pgsize) FROM dbstat GROUP BY name
