-- allow | to: any | flavours: mysql, mariadb, aurora-mysql | effects: read | hazards: none | why: an everyday read
select a.x, b.y, c.z from a inner join b on a.id=b.a_id left outer join c on c.b_id = b.id and c.kind in (1,2,3) where a.name like 'x%'
