-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
SELECT ST_AsText(area), ST_Distance(a, POINT(1, 2)), ST_Contains(area, ST_GeomFromText('POINT(1 1)')), ST_X(p) FROM places
